"""Builders of calls and events for the tests of the call domain."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from jobs.rules.states import CallStatus
from jobs.store.model import Call, CallEvent, EventKind

NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
"""Noon in New York, on a Wednesday."""
CALL_ID = UUID(int=1)


def a_call(status: CallStatus = CallStatus.QUEUED, **changes: Any) -> Call:
    """Return a call in a status, without any facts."""
    call = Call(
        id=CALL_ID,
        tenant="default",
        campaign_id=UUID(int=2),
        enrolment_id=UUID(int=3),
        lead_id=UUID(int=4),
        number=1,
        status=status,
        scheduled_for=NOON,
        dialed_at=None if status is CallStatus.SCHEDULED else NOON,
        requests=0 if status is CallStatus.SCHEDULED else 1,
        refused_until=None,
        provider_id=None,
        sequence=-1,
        answered_at=None,
        ended_at=None,
        duration=None,
        answered_by=None,
        outcome=None,
        sip_code=None,
        price=None,
        disposition=None,
        callback_at=None,
        processed_at=None,
        created_at=NOON,
        version=1,
    )
    return replace(call, **changes)


def an_event(sequence: int, kind: EventKind = EventKind.STATUS, **payload: Any) -> CallEvent:
    """Return a stored callback of the call."""
    return CallEvent(
        id=sequence + 1,
        provider_id="CA1",
        kind=kind,
        sequence=sequence,
        call_id=CALL_ID,
        payload=payload,
        received_at=NOON,
    )
