"""The repository of calls, the provider's events, and recordings."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from jobs.errors import NotFoundError
from jobs.rules.dispositions import Disposition
from jobs.store.model import Call, CallEvent, NewCall, NewEvent, Recording
from jobs.store.postgres import tables
from jobs.store.postgres.rows import call_of, event_of, recording_of
from jobs.store.postgres.session import Session
from jobs.store.postgres.statements import (
    SaveMany,
    as_list,
    encode,
    insert_many,
    names,
    select_by_ids,
)

_FIRST = UUID(int=0)
_THIS_CHANGE = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
_NEW = (
    "id", "tenant", "campaign_id", "enrolment_id", "lead_id", "number", "scheduled_for", "zone",
)  # fmt: skip
_CALL = ", ".join(names(tables.calls, without=("zone", "change_id")))
_ADD = insert_many(
    tables.calls,
    _NEW,
    key=("enrolment_id", "number"),
    created_at="CAST(:now AS timestamptz)",
    change_id=_THIS_CHANGE,
)
_GET = select_by_ids(tables.calls, _CALL)
_LOCK = select_by_ids(tables.calls, _CALL, lock=True)
_LINKED = text(
    "SELECT provider_id, id FROM calls WHERE provider_id = ANY(CAST(:provider_ids AS text[]))"
)
_SAVE = SaveMany(
    tables.calls,
    "call",
    names(
        tables.calls,
        without=(
            "id", "tenant", "campaign_id", "enrolment_id", "lead_id", "number", "created_at",
            "version", "zone", "change_id",
        ),
    ),
    change_id=_THIS_CHANGE,
)  # fmt: skip
_DIALS = text(
    "SELECT lead_id, count(*) FROM calls WHERE lead_id = ANY(CAST(:leads AS uuid[])) "
    "AND dialed_at >= :since AND tenant = :tenant GROUP BY lead_id"
)
_IN_FLIGHT = text(
    "SELECT count(*) FROM calls WHERE campaign_id = :campaign "
    f"AND processed_at IS NULL AND {tables.LIVE}"
)
_OPEN_OF_LEAD = text(
    f"SELECT {_CALL} FROM calls WHERE lead_id = :lead AND status = 'scheduled' "
    "AND dialed_at IS NULL ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
)
_ENDED = text(
    "SELECT count(*) FILTER (WHERE disposition = :carrier_failure), count(*) FROM calls "
    "WHERE campaign_id = :campaign AND ended_at >= :since AND dialed_at IS NOT NULL "
    "AND (provider_id IS NOT NULL OR sip_code IS NOT NULL)"
)
_OVERDUE = text(
    f"SELECT {_CALL} FROM calls WHERE processed_at IS NULL AND id > :after AND CASE "
    "WHEN status = 'scheduled' THEN scheduled_for < :scheduled_before "
    f"WHEN {tables.LIVE} THEN dialed_at < :dialed_before "
    "ELSE TRUE END ORDER BY id LIMIT :limit"
)
_EVENT = ("provider_id", "kind", "sequence", "call_id", "payload", "received_at")
_RECORD = insert_many(
    tables.call_events,
    _EVENT,
    key=("provider_id", "kind", "sequence"),
    tail="ON CONFLICT (provider_id, kind, sequence) DO NOTHING "
    "RETURNING provider_id, kind, sequence",
)
_UNAPPLIED = text(
    "SELECT id, provider_id, kind, sequence, call_id, payload, received_at FROM call_events "
    "WHERE call_id = ANY(CAST(:ids AS uuid[])) AND applied_at IS NULL "
    "UNION ALL "
    "SELECT e.id, e.provider_id, e.kind, e.sequence, c.id, e.payload, e.received_at "
    "FROM calls c JOIN call_events e ON e.provider_id = c.provider_id "
    "WHERE c.id = ANY(CAST(:ids AS uuid[])) AND e.call_id IS NULL AND e.applied_at IS NULL "
    "ORDER BY sequence, id"
)
_MARK = text(
    "UPDATE call_events AS t SET applied_at = :now FROM (SELECT id FROM call_events "
    "WHERE id = ANY(CAST(:ids AS bigint[])) AND applied_at IS NULL "
    "ORDER BY id FOR NO KEY UPDATE) AS r WHERE t.id = r.id"
)
_LINK = text(
    "UPDATE call_events AS t SET call_id = r.call_id FROM (SELECT e.id, link.call_id "
    "FROM unnest(CAST(:providers AS text[]), CAST(:calls AS uuid[])) AS link (provider, call_id) "
    "JOIN call_events e ON e.provider_id = link.provider WHERE e.call_id IS NULL "
    "ORDER BY e.id FOR NO KEY UPDATE OF e) AS r WHERE t.id = r.id RETURNING t.call_id"
)
# An event may name a call that does not exist, or arrive before its provider id is linked.
_WITH_UNAPPLIED = text(
    f"SELECT {_CALL} FROM calls WHERE id > :after AND id IN (SELECT coalesce(e.call_id, c.id) "
    "FROM call_events e LEFT JOIN calls c ON c.provider_id = e.provider_id AND e.call_id IS NULL "
    "WHERE e.applied_at IS NULL AND e.received_at < :before) ORDER BY id LIMIT :limit"
)
_UNFETCHED = text(
    "SELECT e.id, e.provider_id, e.kind, e.sequence, c.id, e.payload, e.received_at "
    "FROM call_events e JOIN calls c ON c.provider_id = e.provider_id "
    f"WHERE {tables.UNFETCHED} AND e.received_at >= :received_after "
    "AND e.received_at < :received_before ORDER BY e.received_at, e.id LIMIT :limit"
)
_MARK_FETCHED = text(
    "UPDATE call_events AS t SET fetched_at = :now FROM (SELECT id FROM call_events "
    "WHERE kind = 'recording' AND fetched_at IS NULL AND payload ->> 'recording_id' = :recording "
    "AND provider_id = (SELECT provider_id FROM calls WHERE id = :call) "
    "ORDER BY id FOR NO KEY UPDATE) AS r WHERE t.id = r.id"
)
_ADD_RECORDING = text(
    "INSERT INTO recordings (call_id, provider_id, path, sha256, size, stored_at) "
    "VALUES (:call_id, :provider_id, :path, :sha256, :size, :stored_at) "
    "ON CONFLICT (provider_id) DO NOTHING"
)
_RECORDINGS = text(
    "SELECT call_id, provider_id, path, sha256, size, stored_at FROM recordings "
    "WHERE call_id = :call ORDER BY stored_at, provider_id"
)


class PostgresCalls:
    """Implements `protocol.Calls`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, calls: Sequence[NewCall], now: datetime) -> None:
        await self._session.run(_ADD, {"rows": encode(calls), "now": now})

    async def get(self, call_id: UUID) -> Call:
        row = await self._session.first(_GET, {"ids": [call_id]})
        if row is None:
            raise NotFoundError("call", call_id)
        return call_of(row)

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Call]:
        rows = await self._session.rows(_LOCK if lock else _GET, {"ids": as_list(ids)})
        return [call_of(row) for row in rows]

    async def by_provider_id(self, provider_ids: Collection[str]) -> Mapping[str, UUID]:
        rows = await self._session.rows(_LINKED, {"provider_ids": as_list(provider_ids)})
        return dict(rows)

    async def save(self, calls: Sequence[Call]) -> None:
        await _SAVE(self._session, calls)

    async def dials(
        self, tenant: str, lead_ids: Collection[UUID], since: datetime
    ) -> Mapping[UUID, int]:
        rows = await self._session.rows(
            _DIALS, {"tenant": tenant, "leads": as_list(lead_ids), "since": since}
        )
        return dict.fromkeys(lead_ids, 0) | dict(rows)

    async def in_flight(self, campaign_id: UUID) -> int:
        ((count,),) = await self._session.rows(_IN_FLIGHT, {"campaign": campaign_id})
        return int(count)

    async def open_calls_of(self, lead_id: UUID) -> list[Call]:
        return [call_of(row) for row in await self._session.rows(_OPEN_OF_LEAD, {"lead": lead_id})]

    async def ended_since(self, campaign_id: UUID, since: datetime) -> tuple[int, int]:
        ((failures, ended),) = await self._session.rows(
            _ENDED,
            {
                "campaign": campaign_id,
                "since": since,
                "carrier_failure": Disposition.CARRIER_FAILURE,
            },
        )
        return failures, ended

    async def record_events(self, events: Sequence[NewEvent]) -> list[NewEvent]:
        by_key = {(e.provider_id, e.kind.value, e.sequence): e for e in reversed(events)}
        stored = await self._session.rows(_RECORD, {"rows": encode(list(by_key.values()))})
        return [by_key[key] for key in sorted(map(tuple, stored))]

    async def unapplied_events(self, call_ids: Collection[UUID]) -> list[CallEvent]:
        rows = await self._session.rows(_UNAPPLIED, {"ids": as_list(call_ids)})
        return [event_of(row) for row in rows]

    async def mark_applied(self, event_ids: Collection[int], now: datetime) -> None:
        await self._session.run(_MARK, {"ids": as_list(event_ids), "now": now})

    async def link_events(self, links: Mapping[str, UUID]) -> set[UUID]:
        providers, calls = list(links), list(links.values())
        rows = await self._session.rows(_LINK, {"providers": providers, "calls": calls})
        return {row[0] for row in rows}

    async def overdue(
        self,
        *,
        scheduled_before: datetime,
        dialed_before: datetime,
        limit: int,
        after: UUID | None = None,
    ) -> list[Call]:
        rows = await self._session.rows(
            _OVERDUE,
            {
                "scheduled_before": scheduled_before,
                "dialed_before": dialed_before,
                "limit": limit,
                "after": after or _FIRST,
            },
        )
        return [call_of(row) for row in rows]

    async def with_unapplied_events(
        self, received_before: datetime, limit: int, after: UUID | None = None
    ) -> list[Call]:
        rows = await self._session.rows(
            _WITH_UNAPPLIED, {"before": received_before, "limit": limit, "after": after or _FIRST}
        )
        return [call_of(row) for row in rows]

    async def unfetched_recordings(
        self, *, received_after: datetime, received_before: datetime, limit: int
    ) -> list[CallEvent]:
        rows = await self._session.rows(
            _UNFETCHED,
            {
                "received_after": received_after,
                "received_before": received_before,
                "limit": limit,
            },
        )
        return [event_of(row) for row in rows]

    async def mark_fetched(self, call_id: UUID, recording_id: str, now: datetime) -> None:
        await self._session.run(
            _MARK_FETCHED, {"call": call_id, "recording": recording_id, "now": now}
        )

    async def add_recording(self, recording: Recording) -> bool:
        return bool(
            await self._session.run(
                _ADD_RECORDING,
                {
                    "call_id": recording.call_id,
                    "provider_id": recording.provider_id,
                    "path": recording.path,
                    "sha256": recording.sha256,
                    "size": recording.size,
                    "stored_at": recording.stored_at,
                },
            )
        )

    async def recordings(self, call_id: UUID) -> list[Recording]:
        return [
            recording_of(row) for row in await self._session.rows(_RECORDINGS, {"call": call_id})
        ]
