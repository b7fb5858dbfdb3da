"""Provider events: applied in any order and any number of times, they give the same call."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import structlog
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import ValidationError as PayloadError

from jobs.batches import batched
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.dispositions import AnsweredBy, CallOutcome
from jobs.rules.states import CALL, CallStatus
from jobs.store.model import Attribute, Call, CallEvent, EventKind
from jobs.store.protocol import Work

CALLS_PER_JOB = 50
"""Calls in one `call.process_completed`."""

log = structlog.get_logger(__name__)


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _check_year(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"year is not between {FIRST_YEAR} and {LAST_YEAR}")
    return moment


FIRST_YEAR, LAST_YEAR = 2000, 2900
Count = Annotated[int, Field(ge=0, lt=2**31)]
Price = Annotated[Decimal, Field(max_digits=18, decimal_places=9)]
Moment = Annotated[AwareDatetime, AfterValidator(_check_year)]


class StatusPayload(BaseModel):
    """Payload of a status or machine detection event. Numbers may be text.

    Attributes:
        status: Status of the call.
        at: Time of the event.
        duration: Seconds of conversation.
        answered_by: Result of the machine detection.
        outcome: Outcome of the conversation.
        sip_code: Final SIP response code.
        price: Price of the call.
        callback_at: Time that the person asked to be called back.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: CallStatus | None = None
    at: Moment | None = None
    duration: Annotated[Count | None, BeforeValidator(_empty_is_none)] = None
    answered_by: AnsweredBy | None = None
    outcome: CallOutcome | None = None
    sip_code: Annotated[Count | None, BeforeValidator(_empty_is_none)] = None
    price: Annotated[Price | None, BeforeValidator(_empty_is_none)] = None
    callback_at: Moment | None = None


FACTS = ("duration", "answered_by", "outcome", "sip_code", "price", "callback_at")
"""Fields of a payload that are facts about the call, not transitions."""


def apply_status(
    call: Call, payload: StatusPayload, sequence: int | None, received_at: datetime
) -> Call:
    """Return a call with an event applied.

    A status applies only if the transition is legal, so a late status changes nothing. Before the
    call ends, facts of newer events replace known facts; otherwise they only fill in unknown ones.

    Args:
        call: The call.
        payload: Payload of the event.
        sequence: Sequence number of a status event; None for another kind of event.
        received_at: Time of the event if the payload has none.
    """
    newer = sequence is not None and sequence > call.sequence
    changes: dict[str, object] = {"sequence": sequence} if newer else {}
    replaces = newer and not CALL.is_terminal(call.status)
    for name in FACTS:
        value = getattr(payload, name)
        if value is not None and (replaces or getattr(call, name) is None):
            changes[name] = value
    at = payload.at or received_at
    if payload.status is CallStatus.IN_PROGRESS and call.answered_at is None:
        changes["answered_at"] = at
    if payload.status is not None and CALL.can(call.status, payload.status):
        changes["status"] = payload.status
        if CALL.is_terminal(payload.status):
            changes["ended_at"] = at
    return replace(call, **changes) if changes else call  # type: ignore[arg-type]  # by field name


def apply_events(call: Call, events: Iterable[CallEvent]) -> Call:
    """Return a call with events applied in the order of their sequence numbers."""
    for event in sorted(events, key=lambda event: event.sequence):
        if call.provider_id is None:
            call = replace(call, provider_id=event.provider_id)
        if event.kind is EventKind.RECORDING:
            continue
        payload = _parse(event)
        if payload is not None:
            sequence = event.sequence if event.kind is EventKind.STATUS else None
            call = apply_status(call, payload, sequence, event.received_at)
    return call


def _parse(event: CallEvent) -> StatusPayload | None:
    # A malformed callback stays stored and must not block the others.
    try:
        return StatusPayload.model_validate(event.payload)
    except PayloadError as error:
        fields = sorted({str(part["loc"][0]) for part in error.errors() if part["loc"]})
        log.warning("event_unreadable", event_id=event.id, fields=fields)
        return None


@job("call.apply_event", timeout=30)
@retry()
async def apply_event(ctx: JobContext, *call_ids: UUID) -> None:
    """Apply the stored, unapplied events of calls.

    Args:
        ctx: Job context.
        call_ids: The calls.
    """
    async with ctx["store"].begin() as work:
        calls = await work.calls.get_many(call_ids, lock=True)
        events = await work.calls.unapplied_events(call_ids)
        events_by_call = _by_call(calls, events)
        changed = []
        for call in calls:
            after = apply_events(call, events_by_call[call.id])
            if after is not call:
                changed.append((call, after))
        await work.calls.save([after for _, after in changed])
        await work.calls.mark_applied([event.id for event in events], ctx["clock"].now())
        enqueue_process_completed(work, changed)
        _enqueue_recordings(work, events_by_call)


def enqueue_process_completed(work: Work, changes: Iterable[tuple[Call, Call]]) -> None:
    """Enqueue `call.process_completed` for the calls that ended.

    Args:
        work: Transaction that stores the changes.
        changes: Calls before and after a change.
    """
    ended = (
        after.id
        for before, after in changes
        if CALL.is_terminal(after.status) and not CALL.is_terminal(before.status)
    )
    for chunk in batched(ended, CALLS_PER_JOB):
        work.enqueue("call.process_completed", *chunk)


def _by_call(calls: Iterable[Call], events: Iterable[CallEvent]) -> Mapping[UUID, list[CallEvent]]:
    linked = {call.provider_id: call.id for call in calls if call.provider_id is not None}
    by_call: defaultdict[UUID, list[CallEvent]] = defaultdict(list)
    for event in events:
        call_id = event.call_id or linked.get(event.provider_id)
        if call_id is not None:
            by_call[call_id].append(event)
    return by_call


def _enqueue_recordings(work: Work, events_by_call: Mapping[UUID, list[CallEvent]]) -> None:
    for call_id, events in events_by_call.items():
        for event in events:
            if event.kind is EventKind.RECORDING and event.payload.get("status") == "completed":
                work.enqueue("call.ingest_recording", *recording_arguments(call_id, event))


def recording_arguments(call_id: UUID, event: CallEvent) -> tuple[UUID, str, str]:
    """Return the arguments of `call.ingest_recording` for a recording event."""
    return call_id, _get_text(event.payload, "recording_id"), _get_text(event.payload, "url")


def _get_text(payload: Mapping[str, Attribute], name: str) -> str:
    return str(payload.get(name) or "")
