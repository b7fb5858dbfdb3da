"""Provider events become the state of a call, whatever their order and however often they come."""

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

log = structlog.get_logger(__name__)


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _of_our_days(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError("this is not a moment of a call")
    return moment


FIRST_YEAR, LAST_YEAR = 2000, 2900
Count = Annotated[int, Field(ge=0, lt=2**31)]
Price = Annotated[Decimal, Field(max_digits=18, decimal_places=9)]
Moment = Annotated[AwareDatetime, AfterValidator(_of_our_days)]


class StatusPayload(BaseModel):
    """What a status or machine-detection event may tell. Numbers may come as text."""

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


def apply_status(
    call: Call, payload: StatusPayload, sequence: int | None, received_at: datetime
) -> Call:
    """The call as it is once the event is taken into account.

    A status is taken only where the state machine allows it, so a late one changes nothing. Facts
    are taken from newer events while the call lasts; else only where nothing is known yet.
    sequence: of a status event; None for another kind.
    """
    newer = sequence is not None and sequence > call.sequence
    changes: dict[str, object] = {"sequence": sequence} if newer else {}
    overrides = newer and not CALL.is_terminal(call.status)
    for name in FACTS:
        value = getattr(payload, name)
        if value is not None and (overrides or getattr(call, name) is None):
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
    """The call after its events, in the order of their sequence numbers."""
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
    # One malformed callback stays stored as it came and must not hold up the others.
    try:
        return StatusPayload.model_validate(event.payload)
    except PayloadError as error:
        fields = sorted({str(part["loc"][0]) for part in error.errors() if part["loc"]})
        log.warning("event_unreadable", event_id=event.id, fields=fields)
        return None


@job("call.apply_event", timeout=30)
@retry()
async def apply_event(ctx: JobContext, *call_ids: UUID) -> None:
    """Applies the stored events of these calls that have not been applied yet."""
    async with ctx["store"].begin() as work:
        calls = await work.calls.get_many(call_ids, lock=True)
        events = await work.calls.unapplied_events(call_ids)
        of_call = _by_call(calls, events)
        changed = []
        for call in calls:
            after = apply_events(call, of_call[call.id])
            if after is not call:
                changed.append((call, after))
        await work.calls.save([after for _, after in changed])
        await work.calls.mark_applied([event.id for event in events], ctx["clock"].now())
        enqueue_completed(
            work,
            [
                after.id
                for before, after in changed
                if CALL.is_terminal(after.status) and not CALL.is_terminal(before.status)
            ],
        )
        _enqueue_recordings(work, of_call)


def enqueue_completed(work: Work, call_ids: Iterable[UUID]) -> None:
    """Has the ends of these calls carried over to their enrolments and leads."""
    for chunk in batched(call_ids, CALLS_PER_JOB):
        work.enqueue("call.process_completed", *chunk)


def _by_call(calls: Iterable[Call], events: Iterable[CallEvent]) -> Mapping[UUID, list[CallEvent]]:
    linked = {call.provider_id: call.id for call in calls if call.provider_id is not None}
    grouped: defaultdict[UUID, list[CallEvent]] = defaultdict(list)
    for event in events:
        call_id = event.call_id or linked.get(event.provider_id)
        if call_id is not None:
            grouped[call_id].append(event)
    return grouped


def _enqueue_recordings(work: Work, of_call: Mapping[UUID, list[CallEvent]]) -> None:
    for call_id, events in of_call.items():
        for event in events:
            if event.kind is EventKind.RECORDING and event.payload.get("status") == "completed":
                work.enqueue("call.ingest_recording", *recording_of(call_id, event))


def recording_of(call_id: UUID, event: CallEvent) -> tuple[UUID, str, str]:
    """The arguments of `call.ingest_recording` for a recording that an event tells of."""
    return call_id, _text(event.payload, "recording_id"), _text(event.payload, "url")


def _text(payload: Mapping[str, Attribute], name: str) -> str:
    return str(payload.get(name) or "")
