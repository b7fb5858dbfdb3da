"""Leads, tags and suppressed numbers in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from jobs.errors import ConflictError, NotFoundError
from jobs.rules.numbers import Tag
from jobs.rules.states import LeadStatus
from jobs.store.memory.state import State, by_id, refuse_duplicates, save
from jobs.store.model import Lead, LeadFilter, NewLead
from jobs.store.postgres.leads import SCORABLE


class MemoryLeads:
    """Implements `protocol.Leads`."""

    def __init__(self, state: State, new_id: Callable[[], UUID]) -> None:
        self._state = state
        self._new_id = new_id

    async def add(self, leads: Sequence[NewLead], now: datetime) -> Mapping[str, UUID]:
        added: dict[str, UUID] = {}
        for new in leads:
            if (new.tenant, new.e164) not in self._state.numbers:
                lead = _lead(self._new_id(), new, now)
                self._state.leads[lead.id] = lead
                self._state.numbers[lead.tenant, lead.e164] = lead.id
                added[lead.e164] = lead.id
        return added

    async def get(self, lead_id: UUID) -> Lead:
        if lead_id not in self._state.leads:
            raise NotFoundError("lead", lead_id)
        return self._state.leads[lead_id]

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Lead]:
        return by_id(self._state.leads, ids)

    async def find(self, tenant: str, e164: str) -> Lead | None:
        lead_id = self._state.numbers.get((tenant, e164))
        return None if lead_id is None else self._state.leads[lead_id]

    async def ids(self, where: LeadFilter) -> list[UUID]:
        return matching(self._state, where)

    async def save(self, leads: Sequence[Lead]) -> None:
        save(self._state.leads, "lead", leads)
        rows = self._state.leads.values()
        refuse_duplicates(((lead.tenant, lead.e164) for lead in rows), "tenant, e164")
        self._state.numbers.clear()
        self._state.numbers.update({(lead.tenant, lead.e164): lead.id for lead in rows})

    async def pending_qualification(self, ruleset_version: str, limit: int) -> list[UUID]:
        pending = (
            lead.id
            for lead in self._state.leads.values()
            if lead.ruleset_version != ruleset_version and lead.status in SCORABLE
        )
        return sorted(pending)[:limit]

    async def tags(self, ids: Collection[UUID]) -> Mapping[UUID, frozenset[Tag]]:
        tags: dict[UUID, set[Tag]] = {lead_id: set() for lead_id in ids}
        for (lead_id, _), tag in self._state.tags.items():
            if lead_id in tags:
                tags[lead_id].add(tag)
        return {lead_id: frozenset(found) for lead_id, found in tags.items()}

    async def add_tags(self, ids: Collection[UUID], tags: Collection[Tag]) -> int:
        if tags and not self._state.leads.keys() >= set(ids):
            raise ConflictError("the row refers to one that does not exist (lead_id)")
        before = len(self._state.tags)
        for lead_id in ids:
            for tag in tags:
                self._state.tags.setdefault((lead_id, tag.key), tag)
        return len(self._state.tags) - before

    async def remove_tags(self, ids: Collection[UUID], keys: Collection[str]) -> int:
        there = {(lead_id, key) for lead_id in ids for key in keys} & self._state.tags.keys()
        for row in there:
            del self._state.tags[row]
        return len(there)

    async def suppress(
        self, tenant: str, e164: str, *, reason: str, now: datetime, until: datetime
    ) -> None:
        before = self._state.suppressions.get((tenant, e164), until)
        self._state.suppressions[tenant, e164] = max(before, until)

    async def suppressed(self, tenant: str, e164s: Collection[str], now: datetime) -> set[str]:
        until = self._state.suppressions
        return {e164 for e164 in e164s if until.get((tenant, e164), now) > now}


def matching(state: State, where: LeadFilter) -> list[UUID]:
    """Return the ids of the leads that a filter selects, in order."""
    return sorted(
        lead.id
        for lead in state.leads.values()
        if lead.tenant == where.tenant
        and (where.source is None or lead.source == where.source)
        and (not where.temperatures or lead.temperature in where.temperatures)
        and all((lead.id, key) in state.tags for key in where.tags)
    )


def _lead(lead_id: UUID, new: NewLead, now: datetime) -> Lead:
    return Lead(
        id=lead_id,
        tenant=new.tenant,
        e164=new.e164,
        name=new.name,
        email=new.email,
        timezone=new.timezone,
        state=new.state,
        postal_code=new.postal_code,
        source=new.source,
        attributes=dict(new.attributes),
        status=LeadStatus.NEW,
        score=None,
        temperature=None,
        evidence=(),
        ruleset_version=None,
        created_at=now,
        updated_at=now,
        last_contacted_at=None,
        version=1,
    )
