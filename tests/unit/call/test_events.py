"""Provider events give the same call in any order."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.call.events import StatusPayload, apply_events, apply_status
from jobs.rules.dispositions import AnsweredBy, CallOutcome
from jobs.rules.states import CALL, CallStatus
from jobs.store.model import EventKind
from tests.unit.call.build import NOON, a_call, an_event

ANSWERED = [
    an_event(0, status="initiated"),
    an_event(1, status="ringing"),
    an_event(2, status="in-progress", at=(NOON + timedelta(seconds=20)).isoformat()),
    an_event(
        3,
        status="completed",
        duration=95,
        answered_by="human",
        outcome="converted",
        at=(NOON + timedelta(seconds=115)).isoformat(),
    ),
]


@given(
    order=st.permutations(ANSWERED), cuts=st.lists(st.integers(0, 4), max_size=3), again=st.data()
)
def test_events_give_the_same_call_in_any_order(order, cuts, again) -> None:  # type: ignore[no-untyped-def]  # hypothesis passes them
    repeated = [*order, *again.draw(st.lists(st.sampled_from(ANSWERED), max_size=3))]
    call = a_call()
    edges = [0, *sorted(cuts), len(repeated)]
    for start, end in pairwise(edges):
        call = apply_events(call, repeated[start:end])

    assert call.status is CallStatus.COMPLETED
    assert (call.duration, call.outcome) == (95, CallOutcome.CONVERTED)
    assert call.answered_by is AnsweredBy.HUMAN
    assert call.answered_at == NOON + timedelta(seconds=20)
    assert call.ended_at == NOON + timedelta(seconds=115)
    assert call.sequence == 3
    assert call.provider_id == "CA1"


@given(
    status=st.sampled_from([status for status in CallStatus if CALL.is_terminal(status)]),
    reported=st.sampled_from(list(CallStatus)),
    sequence=st.integers(0, 50),
)
def test_ended_call_keeps_its_status(
    status: CallStatus, reported: CallStatus, sequence: int
) -> None:
    call = a_call(status, ended_at=NOON)

    after = apply_status(call, StatusPayload(status=reported), sequence, NOON + timedelta(hours=1))

    assert (after.status, after.ended_at) == (status, NOON)


def test_late_machine_detection_fills_in_unknown_facts() -> None:
    call = apply_events(a_call(), [an_event(3, status="completed", duration=12)])

    call = apply_events(
        call, [an_event(1, kind=EventKind.MACHINE_DETECTION, answered_by="machine_start")]
    )

    assert call.answered_by is AnsweredBy.MACHINE_START
    assert call.status is CallStatus.COMPLETED


def test_numbers_in_payloads_may_be_text() -> None:
    call = apply_events(
        a_call(), [an_event(0, status="completed", duration="61", price="0.021", sip_code="")]
    )

    assert (call.duration, str(call.price), call.sip_code) == (61, "0.021", None)


@pytest.mark.parametrize(
    "payload",
    [{"status": "exploded"}, {"status": "ringing", "duration": "long"}, {"at": "yesterday"}],
)
def test_malformed_event_does_not_block_the_others(payload: dict[str, Any]) -> None:
    call = apply_events(a_call(), [an_event(0, **payload), an_event(1, status="busy")])

    assert call.status is CallStatus.BUSY


def test_callback_before_the_answer_links_the_call() -> None:
    call = apply_events(a_call(CallStatus.DIALING), [an_event(0, status="ringing")])

    assert (call.status, call.provider_id) == (CallStatus.RINGING, "CA1")


def test_event_after_the_end_replaces_no_fact() -> None:
    call = apply_events(a_call(), [an_event(2, status="completed", duration=30)])

    call = apply_events(call, [an_event(3, status="completed", duration=99, price="0.5")])

    assert (call.duration, str(call.price)) == (30, "0.5")


def test_sequence_counts_status_events_only() -> None:
    detected = an_event(9, kind=EventKind.MACHINE_DETECTION, answered_by="human")

    call = apply_events(a_call(), [detected, an_event(1, status="ringing")])

    assert (call.sequence, call.status) == (1, CallStatus.RINGING)
