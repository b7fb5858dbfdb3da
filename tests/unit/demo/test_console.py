"""How a run is shown where nobody watches, and at its end."""

import io
from datetime import UTC, datetime

from rich.console import Console

from jobs.demo.console import Bars, display, print_books, print_dead
from jobs.demo.invariants import Entry
from jobs.engine import DeadLetter, serialize


def console(*, terminal: bool = False) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=120), file


def test_stages_are_lines_where_there_is_no_terminal() -> None:
    shown, file = console()
    with display(shown) as show:
        with show.stage("import") as stage:
            stage.update(1200, 2000, "40 rejected")
        with show.stage("report"):
            pass
    first, second = file.getvalue().splitlines()
    assert first.startswith("import: 1,200 of 2,000  40 rejected  (")
    assert second == "report: done"


def test_stages_are_bars_on_a_terminal() -> None:
    shown, file = console(terminal=True)
    with display(shown) as show:
        assert isinstance(show, Bars)
        with show.stage("import") as stage:
            stage.update(1200, 2000, "40 rejected")
        with show.stage("report"):
            pass
    assert "1200/2000" in file.getvalue()


def test_books_show_what_is_behind_a_difference() -> None:
    shown, file = console()
    print_books(shown, [Entry("leads", 2, 2), Entry("calls", 2, 1, "one is missing")])
    text = file.getvalue()
    assert "2  ok" in text
    assert "2 ≠ 1  WRONG" in text
    assert "one is missing" in text


def test_dead_letters_are_listed_masked() -> None:
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
    print_dead(shown, [letter] * 22)
    text = file.getvalue()
    assert "dead letter j1: lead.x(" in text
    assert "2025550123" not in text
    assert "… and 2 more dead letters" in text
