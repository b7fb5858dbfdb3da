"""Progress display and result tables of a run."""

import io
from datetime import UTC, datetime

from rich.console import Console

from jobs.demo.console import Bars, open_display, print_dead_letters, print_invariants
from jobs.demo.invariants import Invariant
from jobs.engine import DeadLetter, serialize


def console(*, terminal: bool = False) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=120), file


def test_stages_are_lines_without_a_terminal() -> None:
    shown, file = console()
    with open_display(shown) as display:
        with display.stage("import") as stage:
            stage.update(1200, 2000, "40 rejected")
        with display.stage("report"):
            pass
    first, second = file.getvalue().splitlines()
    assert first.startswith("import: 1,200 of 2,000  40 rejected  (")
    assert second == "report: done"


def test_stages_are_bars_on_a_terminal() -> None:
    shown, file = console(terminal=True)
    with open_display(shown) as display:
        assert isinstance(display, Bars)
        with display.stage("import") as stage:
            stage.update(1200, 2000, "40 rejected")
        with display.stage("report"):
            pass
    assert "1200/2000" in file.getvalue()


def test_violated_invariant_shows_its_detail() -> None:
    shown, file = console()
    print_invariants(shown, [Invariant("leads", 2, 2), Invariant("calls", 2, 1, "one is missing")])
    text = file.getvalue()
    assert "2  ok" in text
    assert "2 ≠ 1  VIOLATED" in text
    assert "one is missing" in text


def test_dead_letters_are_printed_with_masked_data() -> None:
    shown, file = console()
    now = datetime(2026, 3, 10, tzinfo=UTC)
    payload = serialize({"t": None, "f": "lead.x", "a": ["+12025550123"], "k": {}, "et": 0})
    letter = DeadLetter.of(
        ValueError("bad +12025550123"),
        job_id="j1",
        function="lead.x",
        queue="lead_tasks",
        payload=payload,
        tries=4,
        enqueued_at=now,
        failed_at=now,
    )
    print_dead_letters(shown, [letter] * 22)
    text = file.getvalue()
    assert "dead letter j1: lead.x(" in text
    assert "2025550123" not in text
    assert "… and 2 more dead letters" in text
