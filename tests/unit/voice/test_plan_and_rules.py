"""The simulator speaks the language of the rules: a script is a legal life of a call."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from jobs.rules.states import CALL, CallStatus
from jobs.voice import Recorded, ReplayPlan, SeededPlan
from jobs.voice.protocol import CallRequest
from jobs.voice.script import CallScript

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
def test_a_seeded_script_is_a_legal_life(seed: int, nth: int) -> None:
    assert_legal(SeededPlan(seed).script(CallRequest(uuid4(), TO), nth))


@given(attempts=st.integers(1, 5), duration=st.integers(0, 4918), nth=st.integers(1, 6))
def test_a_replayed_script_is_a_legal_life(attempts: int, duration: int, nth: int) -> None:
    plan = ReplayPlan({TO: Recorded(attempts, duration, "converted")})

    assert_legal(plan.script(CallRequest(uuid4(), TO), nth))
