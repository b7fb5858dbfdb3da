"""The repository of leads, their tags, and suppressed numbers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, bindparam, select, text

from jobs.errors import NotFoundError
from jobs.rules.numbers import Tag
from jobs.rules.states import LeadStatus
from jobs.store.model import Lead, LeadFilter, NewLead
from jobs.store.postgres import tables
from jobs.store.postgres.rows import lead_of
from jobs.store.postgres.session import Session
from jobs.store.postgres.statements import (
    SaveMany,
    as_list,
    encode,
    insert_many,
    names,
    select_by_ids,
)

SCORABLE = (LeadStatus.NEW, LeadStatus.CONTACTED, LeadStatus.QUALIFIED, LeadStatus.UNQUALIFIED)
"""States that a score may change."""

_COLUMNS = ", ".join(names(tables.leads))
_NEW = (
    "id", "tenant", "e164", "name", "email", "timezone", "state", "postal_code", "source",
    "attributes",
)  # fmt: skip
_ADD = insert_many(
    tables.leads,
    _NEW,
    key=("tenant", "e164"),
    # Known numbers are left out first: ON CONFLICT would wait for a lead whose number
    # is being changed to one of the inserted numbers.
    where="NOT EXISTS (SELECT FROM leads l WHERE l.tenant = r.tenant AND l.e164 = r.e164)",
    created_at="CAST(:now AS timestamptz)",
    updated_at="CAST(:now AS timestamptz)",
    tail="ON CONFLICT (tenant, e164) DO NOTHING RETURNING e164, id",
)
_GET = select_by_ids(tables.leads, _COLUMNS)
_LOCK = select_by_ids(tables.leads, _COLUMNS, lock=True)
_FIND = text(f"SELECT {_COLUMNS} FROM leads WHERE tenant = :tenant AND e164 = :e164")
_SAVE = SaveMany(
    tables.leads, "lead", names(tables.leads, without=("id", "tenant", "created_at", "version"))
)
_PENDING = text(
    "SELECT id FROM leads WHERE ruleset_version IS DISTINCT FROM :ruleset "
    "AND status = ANY(CAST(:scorable AS text[])) ORDER BY id LIMIT :limit"
)
_TAGS = text("SELECT lead_id, key, name FROM lead_tags WHERE lead_id = ANY(CAST(:ids AS uuid[]))")
_ADD_TAGS = text(
    "INSERT INTO lead_tags (lead_id, key, name) SELECT lead_id, key, name "
    "FROM unnest(CAST(:ids AS uuid[])) AS lead_id, "
    "unnest(CAST(:keys AS text[]), CAST(:names AS text[])) AS tag (key, name) "
    "ORDER BY lead_id, key ON CONFLICT (lead_id, key) DO NOTHING"
)
_REMOVE_TAGS = text(
    "DELETE FROM lead_tags AS t USING (SELECT lead_id, key FROM lead_tags "
    "WHERE lead_id = ANY(CAST(:ids AS uuid[])) AND key = ANY(CAST(:keys AS text[])) "
    "ORDER BY lead_id, key FOR UPDATE) AS r WHERE t.lead_id = r.lead_id AND t.key = r.key"
)
_SUPPRESS = text(
    "INSERT INTO suppressions AS s (tenant, e164, reason, created_at, until) "
    "VALUES (:tenant, :e164, :reason, :now, :until) "
    "ON CONFLICT (tenant, e164) DO UPDATE SET until = excluded.until, reason = excluded.reason "
    "WHERE s.until < excluded.until"
)
_SUPPRESSED = text(
    "SELECT e164 FROM suppressions "
    "WHERE tenant = :tenant AND e164 = ANY(CAST(:e164s AS text[])) AND until > :now"
)


class PostgresLeads:
    """Implements `protocol.Leads`."""

    def __init__(self, session: Session, new_id: Callable[[], UUID]) -> None:
        self._session = session
        self._new_id = new_id

    async def add(self, leads: Sequence[NewLead], now: datetime) -> Mapping[str, UUID]:
        rows = [
            {
                "id": self._new_id(),
                "tenant": lead.tenant,
                "e164": lead.e164,
                "name": lead.name,
                "email": lead.email,
                "timezone": lead.timezone,
                "state": lead.state,
                "postal_code": lead.postal_code,
                "source": lead.source,
                "attributes": lead.attributes,
            }
            for lead in leads
        ]
        added = await self._session.rows(_ADD, {"rows": encode(rows), "now": now})
        return dict(added)

    async def get(self, lead_id: UUID) -> Lead:
        row = await self._session.first(_GET, {"ids": [lead_id]})
        if row is None:
            raise NotFoundError("lead", lead_id)
        return lead_of(row)

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Lead]:
        rows = await self._session.rows(_LOCK if lock else _GET, {"ids": as_list(ids)})
        return [lead_of(row) for row in rows]

    async def find(self, tenant: str, e164: str) -> Lead | None:
        row = await self._session.first(_FIND, {"tenant": tenant, "e164": e164})
        return lead_of(row) if row is not None else None

    async def ids(self, where: LeadFilter) -> list[UUID]:
        return [row[0] for row in await self._session.rows(*matching(where))]

    async def save(self, leads: Sequence[Lead]) -> None:
        await _SAVE(self._session, leads)

    async def pending_qualification(self, ruleset_version: str, limit: int) -> list[UUID]:
        rows = await self._session.rows(
            _PENDING, {"ruleset": ruleset_version, "scorable": list(SCORABLE), "limit": limit}
        )
        return [row[0] for row in rows]

    async def tags(self, ids: Collection[UUID]) -> Mapping[UUID, frozenset[Tag]]:
        tags: dict[UUID, set[Tag]] = {id_: set() for id_ in ids}
        for lead_id, key, name in await self._session.rows(_TAGS, {"ids": as_list(ids)}):
            tags[lead_id].add(Tag(key=key, name=name))
        return {id_: frozenset(found) for id_, found in tags.items()}

    async def add_tags(self, ids: Collection[UUID], tags: Collection[Tag]) -> int:
        return await self._session.run(
            _ADD_TAGS,
            {
                "ids": as_list(ids),
                "keys": [tag.key for tag in tags],
                "names": [tag.name for tag in tags],
            },
        )

    async def remove_tags(self, ids: Collection[UUID], keys: Collection[str]) -> int:
        return await self._session.run(_REMOVE_TAGS, {"ids": as_list(ids), "keys": as_list(keys)})

    async def suppress(
        self, tenant: str, e164: str, *, reason: str, now: datetime, until: datetime
    ) -> None:
        await self._session.run(
            _SUPPRESS,
            {"tenant": tenant, "e164": e164, "reason": reason, "now": now, "until": until},
        )

    async def suppressed(self, tenant: str, e164s: Collection[str], now: datetime) -> set[str]:
        rows = await self._session.rows(
            _SUPPRESSED, {"tenant": tenant, "e164s": as_list(e164s), "now": now}
        )
        return {row[0] for row in rows}


def matching(where: LeadFilter) -> tuple[Select[tuple[UUID]], dict[str, object]]:
    """Return the ids of the leads that a filter selects, in order."""
    leads, tags = tables.leads, tables.lead_tags
    query = select(leads.c.id).where(leads.c.tenant == bindparam("tenant"))
    parameters: dict[str, object] = {"tenant": where.tenant}
    if where.source is not None:
        query = query.where(leads.c.source == bindparam("source"))
        parameters["source"] = where.source
    if where.temperatures:
        query = query.where(text("temperature = ANY(CAST(:temperatures AS text[]))"))
        parameters["temperatures"] = list(where.temperatures)
    for number, key in enumerate(sorted(where.tags)):
        name = f"tag{number}"
        having = select(tags.c.lead_id).where(tags.c.key == bindparam(name))
        query = query.where(leads.c.id.in_(having))
        parameters[name] = key
    return query.order_by(leads.c.id), parameters
