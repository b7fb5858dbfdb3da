"""Plans of calls: seeded and repeatable, or replayed from a recorded campaign."""

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


def make_request(to: str = NUMBERS[0]) -> CallRequest:
    return CallRequest(uuid4(), to)


@given(seed=seeds, to=numbers, nth=st.integers(1, 60), call_id=st.uuids())
def test_seeded_script_depends_only_on_seed_number_and_nth(
    seed: int, to: str, nth: int, call_id: UUID
) -> None:
    used_plan = SeededPlan(seed, recorded=0.5)
    for other in NUMBERS[:3]:
        used_plan.script(make_request(other), 1)

    script = used_plan.script(CallRequest(call_id, to), nth)

    assert script == SeededPlan(seed, recorded=0.5).script(make_request(to), nth)


@given(seed=seeds, to=numbers, nth=st.integers(1, 60))
def test_script_ends_once_and_its_events_are_in_order(seed: int, to: str, nth: int) -> None:
    script = SeededPlan(seed, recorded=0.5).script(make_request(to), nth)

    statuses = [event for event in script.events if event.kind == "status"]
    assert [event.sequence for event in statuses] == list(range(len(statuses)))
    assert [event.at for event in script.events] == sorted(event.at for event in script.events)
    assert [str(event.payload["status"]) in TERMINAL for event in statuses].count(True) == 1
    assert script.final is statuses[-1]


@pytest.mark.parametrize("ending", [field.name for field in fields(Mix)])
def test_mix_of_one_ending_produces_only_that_ending(ending: str) -> None:
    plan = SeededPlan(3, Mix.only(**{ending: 1.0}))

    finals = [plan.script(make_request(to), 1).final for to in NUMBERS[:20]]

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


def test_endings_occur_in_the_shares_of_the_mix() -> None:
    plan = SeededPlan(1, Mix.only(no_answer=0.5, voicemail=0.3, converted=0.2))

    answers = Counter(
        str(plan.script(make_request(to), nth).final.payload.get("answered_by", "nobody"))[:7]
        for to in NUMBERS
        for nth in range(1, 31)
    )

    assert answers["nobody"] == pytest.approx(1500, rel=0.1)
    assert answers["machine"] == pytest.approx(900, rel=0.1)
    assert answers["human"] == pytest.approx(600, rel=0.1)


def test_unallocated_number_fails_at_every_call() -> None:
    plan = SeededPlan(5, Mix.only(unallocated=0.3, no_answer=0.7))

    endings = {
        to: {plan.script(make_request(to), nth).final.payload["status"] for nth in range(1, 10)}
        for to in NUMBERS
    }

    assert all(len(statuses) == 1 for statuses in endings.values())
    assert 10 < sum(statuses == {"failed"} for statuses in endings.values()) < 50


def test_machine_is_detected_after_the_answer() -> None:
    script = SeededPlan(2, Mix.only(voicemail=1)).script(make_request(), 1)

    pick_up = next(e for e in script.events if e.payload.get("status") == "in-progress")
    (detection,) = [e for e in script.events if e.kind == "machine-detection"]
    assert "answered_by" not in pick_up.payload
    assert detection.at > pick_up.at
    assert detection.payload["answered_by"] == script.final.payload["answered_by"]


@pytest.mark.parametrize(("duration", "price"), [(0, "0.0000"), (60, "0.0140"), (61, "0.0280")])
def test_price_counts_started_minutes(duration: int, price: str) -> None:
    assert answered(duration, None).final.payload["price"] == price


@pytest.mark.parametrize("weights", [{}, {"busy": -1.0, "no_answer": 2.0}, {"busy": float("nan")}])
def test_mix_with_bad_weights_is_rejected(weights: dict[str, float]) -> None:
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
        plan.script(make_request(to), nth)
        for to, history in plan.recorded.items()
        for nth in range(1, history.attempts + 1)
    ]


@given(recorded=recordings)
def test_replay_matches_the_totals_of_the_recording(recorded: dict[str, Recorded]) -> None:
    finals = [script.final.payload for script in replayed(ReplayPlan(recorded))]

    talks = [final for final in finals if final["status"] == "completed"]
    assert len(finals) == sum(history.attempts for history in recorded.values())
    assert sum(int(final["duration"] or 0) for final in finals) == sum(
        history.duration for history in recorded.values()
    )
    assert sum(final.get("outcome") == "converted" for final in finals) == sum(
        history.outcome == "converted" for history in recorded.values()
    )
    assert len(talks) == len(recorded)
    assert {final["answered_by"] for final in talks} <= {"human"}
    assert {final["status"] for final in finals} <= {"completed", "no-answer"}


def test_replay_fails_other_numbers_and_answers_no_further_attempts() -> None:
    plan = ReplayPlan({NUMBERS[0]: Recorded(2, 30, "converted")})

    assert plan.script(make_request(NUMBERS[1]), 1).final.payload["sip_code"] == 404
    assert plan.script(make_request(NUMBERS[0]), 3).final.payload["status"] == "no-answer"


def test_replay_survives_a_round_trip_through_a_file(tmp_path: Path) -> None:
    plan = ReplayPlan({to: Recorded(n + 1, n * 7, "converted") for n, to in enumerate(NUMBERS)})

    plan.save(tmp_path / "replay.csv")

    assert ReplayPlan.load(tmp_path / "replay.csv") == plan


@pytest.mark.parametrize(
    ("content", "message"),
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
def test_error_names_the_bad_replay_file(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "replay.csv"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ValidationError, match=message) as failure:
        ReplayPlan.load(path)

    assert str(path) in str(failure.value)
