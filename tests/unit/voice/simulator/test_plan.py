"""What the plans decide: seeded, repeatable, and true to a recorded campaign."""

from collections import Counter
from dataclasses import fields
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ValidationError
from jobs.voice import Mix, Recorded, ReplayPlan, SeededPlan
from jobs.voice.protocol import CallRequest
from jobs.voice.simulator.script import CallScript, answered

NUMBERS = [f"+1212555{n:04d}" for n in range(100, 200)]
TERMINAL = {"completed", "busy", "no-answer", "failed", "canceled"}

seeds = st.integers(0, 2**32)
numbers = st.sampled_from(NUMBERS)


def a_request(to: str = NUMBERS[0]) -> CallRequest:
    return CallRequest(uuid4(), to)


@given(seed=seeds, to=numbers, nth=st.integers(1, 60), call_id=st.uuids())
def test_a_seeded_script_depends_on_seed_number_and_nth_alone(
    seed: int, to: str, nth: int, call_id: UUID
) -> None:
    asked_before = SeededPlan(seed, recorded=0.5)
    for other in NUMBERS[:3]:
        asked_before.script(a_request(other), 1)

    script = asked_before.script(CallRequest(call_id, to), nth)

    assert script == SeededPlan(seed, recorded=0.5).script(a_request(to), nth)


@given(seed=seeds, to=numbers, nth=st.integers(1, 60))
def test_a_script_ends_once_and_its_events_happen_in_order(seed: int, to: str, nth: int) -> None:
    script = SeededPlan(seed, recorded=0.5).script(a_request(to), nth)

    statuses = [event for event in script.events if event.kind == "status"]
    assert [event.sequence for event in statuses] == list(range(len(statuses)))
    assert [event.at for event in script.events] == sorted(event.at for event in script.events)
    assert [str(event.payload["status"]) in TERMINAL for event in statuses].count(True) == 1
    assert script.final is statuses[-1]


@pytest.mark.parametrize("ending", [field.name for field in fields(Mix)])
def test_a_mix_of_one_ending_gives_that_ending(ending: str) -> None:
    plan = SeededPlan(3, Mix.only(**{ending: 1.0}))

    finals = [plan.script(a_request(to), 1).final for to in NUMBERS[:20]]

    expected = {
        "no_answer": ("no-answer", {408, 480}),
        "busy": ("busy", {486, 600}),
        "declined": ("busy", {603}),
        "carrier_failure": ("failed", {500, 502, 503, 504}),
        "unallocated": ("failed", {404}),
    }
    status, sip_codes = expected.get(ending, ("completed", {200}))
    assert {final.payload["status"] for final in finals} == {status}
    assert {final.payload["sip_code"] for final in finals} <= sip_codes
    if status == "completed":
        outcome = None if ending in {"voicemail", "talked"} else ending
        assert {final.payload.get("outcome") for final in finals} == {outcome}
    assert {final.callback_after is not None for final in finals} == {ending == "callback"}


def test_the_shares_of_a_mix_are_kept() -> None:
    plan = SeededPlan(1, Mix.only(no_answer=0.5, voicemail=0.3, converted=0.2))

    seen = Counter(
        str(plan.script(a_request(to), nth).final.payload.get("answered_by", "nobody"))[:7]
        for to in NUMBERS
        for nth in range(1, 31)
    )

    assert seen["nobody"] == pytest.approx(1500, rel=0.1)
    assert seen["machine"] == pytest.approx(900, rel=0.1)
    assert seen["human"] == pytest.approx(600, rel=0.1)


def test_a_number_that_does_not_exist_never_does() -> None:
    plan = SeededPlan(5, Mix.only(unallocated=0.3, no_answer=0.7))

    endings = {
        to: {plan.script(a_request(to), nth).final.payload["status"] for nth in range(1, 10)}
        for to in NUMBERS
    }

    assert all(len(statuses) == 1 for statuses in endings.values())
    assert 10 < sum(statuses == {"failed"} for statuses in endings.values()) < 50


def test_a_machine_is_found_out_after_the_answer() -> None:
    script = SeededPlan(2, Mix.only(voicemail=1)).script(a_request(), 1)

    pick_up = next(e for e in script.events if e.payload.get("status") == "in-progress")
    (detection,) = [e for e in script.events if e.kind == "machine-detection"]
    assert "answered_by" not in pick_up.payload
    assert detection.at > pick_up.at
    assert detection.payload["answered_by"] == script.final.payload["answered_by"]


@pytest.mark.parametrize(("duration", "price"), [(0, "0.0000"), (60, "0.0140"), (61, "0.0280")])
def test_each_minute_begun_is_paid(duration: int, price: str) -> None:
    assert answered(duration, None).final.payload["price"] == price


@pytest.mark.parametrize("weights", [{}, {"busy": -1.0, "no_answer": 2.0}, {"busy": float("nan")}])
def test_a_mix_without_any_weight_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Mix.only(**weights)


recordings = st.dictionaries(
    numbers,
    st.builds(
        Recorded,
        attempts=st.integers(1, 63),
        duration=st.integers(0, 4918),
        outcome=st.sampled_from(["converted", "not_interested"]),
    ),
    max_size=20,
)


def replayed(plan: ReplayPlan) -> list[CallScript]:
    return [
        plan.script(a_request(to), nth)
        for to, recorded in plan.recorded.items()
        for nth in range(1, recorded.attempts + 1)
    ]


@given(recorded=recordings)
def test_a_replay_sums_to_what_was_recorded(recorded: dict[str, Recorded]) -> None:
    finals = [script.final.payload for script in replayed(ReplayPlan(recorded))]

    talks = [final for final in finals if final["status"] == "completed"]
    assert len(finals) == sum(r.attempts for r in recorded.values())
    assert sum(int(final["duration"] or 0) for final in finals) == sum(
        r.duration for r in recorded.values()
    )
    assert sum(final.get("outcome") == "converted" for final in finals) == sum(
        r.outcome == "converted" for r in recorded.values()
    )
    assert len(talks) == len(recorded)
    assert {final["answered_by"] for final in talks} <= {"human"}
    assert {final["status"] for final in finals} <= {"completed", "no-answer"}


def test_a_replay_does_not_know_other_numbers_nor_further_attempts() -> None:
    plan = ReplayPlan({NUMBERS[0]: Recorded(2, 30, "converted")})

    assert plan.script(a_request(NUMBERS[1]), 1).final.payload["sip_code"] == 404
    assert plan.script(a_request(NUMBERS[0]), 3).final.payload["status"] == "no-answer"


def test_a_replay_is_the_same_after_a_file(tmp_path: Path) -> None:
    plan = ReplayPlan({to: Recorded(n + 1, n * 7, "converted") for n, to in enumerate(NUMBERS)})

    plan.save(tmp_path / "replay.csv")

    assert ReplayPlan.load(tmp_path / "replay.csv") == plan


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        (b"", "first line"),
        (b"number;attempts\n", "first line"),
        (b"e164,attempts,duration,outcome\n+12125550100,1,2\n", "line 2"),
        (b"e164,attempts,duration,outcome\n+12125550100,one,2,converted\n", "line 2"),
        (b"e164,attempts,duration,outcome\n+12125550100,0,2,converted\n", "line 2"),
        (b"\xff\xfe\x00", "decode"),
    ],
)
def test_a_bad_replay_file_is_named(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "replay.csv"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ValidationError, match=told) as failure:
        ReplayPlan.load(path)

    assert str(path) in str(failure.value)
