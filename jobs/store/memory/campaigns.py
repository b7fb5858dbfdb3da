"""Campaigns and enrollments in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from jobs.errors import ConflictError, NotFoundError
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CampaignStatus, EnrolmentStatus
from jobs.store.memory.leads import matching
from jobs.store.memory.state import State, by_id, save
from jobs.store.model import Campaign, Enrolment, LeadFilter
from jobs.store.postgres.campaigns import ENDED, TO_CALL


class MemoryCampaigns:
    """Implements `protocol.Campaigns`."""

    def __init__(self, state: State, new_id: Callable[[], UUID]) -> None:
        self._state = state
        self._new_id = new_id

    async def add(self, tenant: str, name: str, policy: CampaignPolicy, now: datetime) -> Campaign:
        if await self.find(tenant, name) is not None:
            raise ConflictError(f"tenant {tenant} has a campaign named {name!r} already")
        draft = CampaignStatus.DRAFT
        campaign = Campaign(self._new_id(), tenant, name, draft, policy, now, None, None, 1)
        self._state.campaigns[campaign.id] = campaign
        return campaign

    async def get(self, campaign_id: UUID, *, lock: bool = False) -> Campaign:
        if campaign_id not in self._state.campaigns:
            raise NotFoundError("campaign", campaign_id)
        return self._state.campaigns[campaign_id]

    async def get_many(self, ids: Collection[UUID]) -> list[Campaign]:
        return by_id(self._state.campaigns, ids)

    async def find(self, tenant: str, name: str) -> Campaign | None:
        found = (c for c in self._state.campaigns.values() if (c.tenant, c.name) == (tenant, name))
        return next(found, None)

    async def with_status(self, status: CampaignStatus) -> list[Campaign]:
        found = [c for c in self._state.campaigns.values() if c.status is status]
        return sorted(found, key=lambda campaign: campaign.id)

    async def save(self, campaign: Campaign) -> None:
        save(self._state.campaigns, "campaign", [campaign])

    async def enrol(self, campaign_id: UUID, where: LeadFilter, now: datetime) -> int:
        if campaign_id not in self._state.campaigns:
            raise ConflictError("the row refers to one that does not exist (campaign_id)")
        enrolled = {e.lead_id for e in self._of(campaign_id)}
        added = [lead_id for lead_id in matching(self._state, where) if lead_id not in enrolled]
        for lead_id in added:
            queued = EnrolmentStatus.QUEUED
            row = Enrolment(self._new_id(), campaign_id, lead_id, queued, 0, 0, {}, None, 1)
            self._state.enrolments[row.id] = row
        return len(added)

    async def due(self, campaign_id: UUID, now: datetime, limit: int) -> list[Enrolment]:
        to_call = [e for e in self._of(campaign_id) if e.status in TO_CALL]
        waited = [(e.next_at, e.id, e) for e in to_call if e.next_at and e.next_at <= now]
        untimed = [(e.id, e) for e in to_call if e.next_at is None]
        return [*(row[-1] for row in sorted(waited)), *(row[-1] for row in sorted(untimed))][:limit]

    async def enrolments(self, ids: Collection[UUID], *, lock: bool = False) -> list[Enrolment]:
        return by_id(self._state.enrolments, ids)

    async def enrolments_of(self, lead_id: UUID) -> list[Enrolment]:
        found = [e for e in self._state.enrolments.values() if e.lead_id == lead_id]
        return sorted(found, key=lambda enrolment: enrolment.id)

    async def save_enrolments(self, enrolments: Sequence[Enrolment]) -> None:
        save(self._state.enrolments, "enrolment", enrolments)

    async def move_enrolments(
        self, campaign_id: UUID, old: Collection[EnrolmentStatus], new: EnrolmentStatus
    ) -> int:
        moved = [e for e in self._of(campaign_id) if e.status in old]
        for row in moved:
            next_at = None if new in ENDED else row.next_at
            after = replace(row, status=new, next_at=next_at, version=row.version + 1)
            self._state.enrolments[row.id] = after
        return len(moved)

    async def progress(self, campaign_id: UUID) -> Mapping[EnrolmentStatus, int]:
        return dict(Counter(e.status for e in self._of(campaign_id)))

    def _of(self, campaign_id: UUID) -> list[Enrolment]:
        return [e for e in self._state.enrolments.values() if e.campaign_id == campaign_id]
