"""Scripts of the simulator, checked against the rules: every script is a legal call."""

from dataclasses import fields
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition, disposition_of
from jobs.rules.states import CALL, CallStatus
from jobs.voice import Mix, Recorded, ReplayPlan, SeededPlan
from jobs.voice.protocol import CallRequest
from jobs.voice.simulator.script import CallScript

TO = "+12125550100"


def assert_legal(script: CallScript) -> None:
    statuses = sorted(
        (event for event in script.events if event.kind == "status"),
        key=lambda event: event.sequence,
    )
    state = CallStatus(str(script.status_at(-1).payload["status"]))
    for event in statuses:
        state = CALL.advance(state, CallStatus(str(event.payload["status"])))
    assert CALL.is_terminal(state)


@given(seed=st.integers(0, 2**32), nth=st.integers(1, 60))
def test_seeded_script_is_legal(seed: int, nth: int) -> None:
    assert_legal(SeededPlan(seed).script(CallRequest(uuid4(), TO), nth))


@given(attempts=st.integers(1, 5), duration=st.integers(0, 4918), nth=st.integers(1, 6))
def test_replayed_script_is_legal(attempts: int, duration: int, nth: int) -> None:
    plan = ReplayPlan({TO: Recorded(attempts, duration, "converted")})

    assert_legal(plan.script(CallRequest(uuid4(), TO), nth))


ANSWERED = ("converted", "appointment", "interested", "not_interested", "talked")


@pytest.mark.parametrize("ending", [field.name for field in fields(Mix)])
@pytest.mark.parametrize("nth", range(1, 8))
def test_ending_has_the_disposition_of_its_name(ending: str, nth: int) -> None:
    plan = SeededPlan(nth, Mix.only(**{ending: 1.0}))

    final = plan.script(CallRequest(uuid4(), TO), nth).final.payload

    answered_by, outcome = final.get("answered_by"), final.get("outcome")
    assert disposition_of(
        CallStatus(str(final["status"])),
        AnsweredBy(str(answered_by)) if answered_by else None,
        CallOutcome(str(outcome)) if outcome else None,
        int(str(final["sip_code"])),
    ) is Disposition("answered" if ending in ANSWERED else ending)
