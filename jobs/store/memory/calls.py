"""Calls, the provider's events and recordings in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from jobs.errors import ConflictError, NotFoundError
from jobs.rules.dispositions import Disposition
from jobs.rules.states import CALL, CallStatus
from jobs.store.memory.state import State, by_id, refuse_duplicates, save
from jobs.store.model import Call, CallEvent, EventKind, NewCall, NewEvent, Recording

_FIRST = UUID(int=0)


class MemoryCalls:
    """Implements `protocol.Calls`.

    Args:
        state: The tables.
        change: The number of this transaction.
    """

    def __init__(self, state: State, change: int) -> None:
        self._state = state
        self._change = change

    async def add(self, calls: Sequence[NewCall], now: datetime) -> None:
        if not self._state.enrolments.keys() >= {new.enrolment_id for new in calls}:
            raise ConflictError("the row refers to one that does not exist (enrolment_id)")
        refuse_duplicates([*self._state.calls, *(new.id for new in calls)], "id")
        for new in calls:
            self._state.calls[new.id] = _call(new, now)
            self._state.changes[new.id] = self._change
            self._state.zones[new.id] = new.zone
        rows = self._state.calls.values()
        refuse_duplicates(((c.enrolment_id, c.number) for c in rows), "enrolment_id, number")

    async def get(self, call_id: UUID) -> Call:
        if call_id not in self._state.calls:
            raise NotFoundError("call", call_id)
        return self._state.calls[call_id]

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Call]:
        return by_id(self._state.calls, ids)

    async def by_provider_id(self, provider_ids: Collection[str]) -> Mapping[str, UUID]:
        return {
            call.provider_id: call.id
            for call in self._state.calls.values()
            if call.provider_id is not None and call.provider_id in provider_ids
        }

    async def save(self, calls: Sequence[Call]) -> None:
        save(self._state.calls, "call", calls)
        self._state.changes.update(dict.fromkeys((call.id for call in calls), self._change))
        linked = [c.provider_id for c in self._state.calls.values() if c.provider_id is not None]
        refuse_duplicates(linked, "provider_id")

    async def dials(
        self, tenant: str, lead_ids: Collection[UUID], since: datetime
    ) -> Mapping[UUID, int]:
        dialled = Counter(
            call.lead_id
            for call in self._state.calls.values()
            if call.tenant == tenant and call.dialed_at is not None and call.dialed_at >= since
        )
        return {lead_id: dialled[lead_id] for lead_id in lead_ids}

    async def in_flight(self, campaign_id: UUID) -> int:
        return sum(
            call.processed_at is None and not CALL.is_terminal(call.status)
            for call in self._of(campaign_id)
        )

    async def open_calls_of(self, lead_id: UUID) -> list[Call]:
        return self._ordered(
            call
            for call in self._state.calls.values()
            if call.lead_id == lead_id
            and call.status is CallStatus.SCHEDULED
            and call.dialed_at is None
        )

    async def ended_since(self, campaign_id: UUID, since: datetime) -> tuple[int, int]:
        ended = [
            call.disposition
            for call in self._of(campaign_id)
            if call.dialed_at is not None
            and call.ended_at is not None
            and call.ended_at >= since
            and (call.provider_id is not None or call.sip_code is not None)
        ]
        return ended.count(Disposition.CARRIER_FAILURE), len(ended)

    async def record_events(self, events: Sequence[NewEvent]) -> list[NewEvent]:
        known = {_key(event) for event in self._state.events.values()}
        fresh = {_key(e): e for e in reversed(events) if _key(e) not in known}
        recorded = [fresh[key] for key in sorted(fresh)]
        for id_, e in enumerate(recorded, max(self._state.events, default=0) + 1):
            self._state.events[id_] = CallEvent(
                id_, e.provider_id, e.kind, e.sequence, e.call_id, dict(e.payload), e.received_at
            )
        return recorded

    async def unapplied_events(self, call_ids: Collection[UUID]) -> list[CallEvent]:
        found = [event for event in self._unapplied() if event.call_id in call_ids]
        return sorted(found, key=lambda event: (event.sequence, event.id))

    async def mark_applied(self, event_ids: Collection[int], now: datetime) -> None:
        for id_ in event_ids:
            if id_ in self._state.events:
                self._state.applied.setdefault(id_, now)

    async def link_events(self, links: Mapping[str, UUID]) -> set[UUID]:
        linked = set()
        for event in list(self._state.events.values()):
            call_id = links.get(event.provider_id)
            if event.call_id is None and call_id is not None:
                self._state.events[event.id] = replace(event, call_id=call_id)
                linked.add(call_id)
        return linked

    async def overdue(
        self,
        *,
        scheduled_before: datetime,
        dialed_before: datetime,
        limit: int,
        after: UUID | None = None,
    ) -> list[Call]:
        def is_overdue(call: Call) -> bool:
            if call.status is CallStatus.SCHEDULED:
                return call.scheduled_for < scheduled_before
            if CALL.is_terminal(call.status):
                return True
            return call.dialed_at is not None and call.dialed_at < dialed_before

        unprocessed = [
            call
            for call in self._state.calls.values()
            if call.processed_at is None and call.id > (after or _FIRST)
        ]
        return self._ordered(filter(is_overdue, unprocessed))[:limit]

    async def with_unapplied_events(
        self, received_before: datetime, limit: int, after: UUID | None = None
    ) -> list[Call]:
        found = {
            event.call_id
            for event in self._unapplied()
            if event.received_at < received_before
            and event.call_id is not None
            and event.call_id > (after or _FIRST)
        }
        return by_id(self._state.calls, found)[:limit]

    async def unfetched_recordings(
        self, *, received_after: datetime, received_before: datetime, limit: int
    ) -> list[CallEvent]:
        linked = {call.provider_id: call.id for call in self._state.calls.values()}
        found = [
            replace(event, call_id=linked[event.provider_id])
            for event in self._state.events.values()
            if event.id in self._state.applied
            and event.id not in self._state.fetched
            and event.kind is EventKind.RECORDING
            and event.payload.get("status") == "completed"
            and event.provider_id in linked
            and received_after <= event.received_at < received_before
        ]
        return sorted(found, key=lambda event: (event.received_at, event.id))[:limit]

    async def mark_fetched(self, call_id: UUID, recording_id: str, now: datetime) -> None:
        call = self._state.calls.get(call_id)
        self._state.fetched.update(
            event.id
            for event in self._state.events.values()
            if call is not None
            and event.provider_id == call.provider_id
            and event.kind is EventKind.RECORDING
            and event.payload.get("recording_id") == recording_id
        )

    async def add_recording(self, recording: Recording) -> bool:
        if recording.call_id not in self._state.calls:
            raise ConflictError("the row refers to one that does not exist (call_id)")
        stored = self._state.recordings.setdefault(recording.provider_id, recording)
        return stored is recording

    async def recordings(self, call_id: UUID) -> list[Recording]:
        found = [r for r in self._state.recordings.values() if r.call_id == call_id]
        return sorted(found, key=lambda recording: (recording.stored_at, recording.provider_id))

    def _of(self, campaign_id: UUID) -> Iterator[Call]:
        return (call for call in self._state.calls.values() if call.campaign_id == campaign_id)

    def _unapplied(self) -> Iterator[CallEvent]:
        """Yield unapplied events, with the call that their provider id is linked to."""
        linked = {call.provider_id: call.id for call in self._state.calls.values()}
        for event in self._state.events.values():
            if event.id not in self._state.applied:
                yield replace(event, call_id=event.call_id or linked.get(event.provider_id))

    @staticmethod
    def _ordered(calls: Iterable[Call]) -> list[Call]:
        return sorted(calls, key=lambda call: call.id)


def _key(event: NewEvent | CallEvent) -> tuple[str, str, int]:
    return event.provider_id, event.kind, event.sequence


def _call(new: NewCall, now: datetime) -> Call:
    return Call(
        id=new.id,
        tenant=new.tenant,
        campaign_id=new.campaign_id,
        enrolment_id=new.enrolment_id,
        lead_id=new.lead_id,
        number=new.number,
        status=CallStatus.SCHEDULED,
        scheduled_for=new.scheduled_for,
        dialed_at=None,
        requests=0,
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
        created_at=now,
        version=1,
    )
