"""The repository of campaigns and their enrollments."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from jobs.errors import ConflictError, NotFoundError
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CampaignStatus, EnrolmentStatus
from jobs.store.model import Campaign, Enrolment, LeadFilter
from jobs.store.postgres import tables
from jobs.store.postgres.leads import matching
from jobs.store.postgres.rows import campaign_of, enrolment_counts, enrolment_of, policy_text
from jobs.store.postgres.session import Session
from jobs.store.postgres.statements import (
    SaveMany,
    as_list,
    names,
    select_by_ids,
    stale,
)

ENDED = frozenset({EnrolmentStatus.DONE, EnrolmentStatus.EXHAUSTED, EnrolmentStatus.REMOVED})
"""States without a further call."""
TO_CALL = frozenset({EnrolmentStatus.QUEUED, EnrolmentStatus.RETRY_WAIT, EnrolmentStatus.CALLBACK})
"""States in which a call is to be scheduled; `tables.TO_CALL` is the same in SQL."""

_CAMPAIGN = ", ".join(names(tables.campaigns)).replace("policy", "CAST(policy AS text)")
_ENROLMENT = ", ".join(names(tables.enrolments, without=("created_at",)))
_ADD = text(
    "INSERT INTO campaigns (id, tenant, name, status, policy, created_at) "
    "VALUES (:id, :tenant, :name, 'draft', CAST(:policy AS jsonb), :now) "
    f"ON CONFLICT (tenant, name) DO NOTHING RETURNING {_CAMPAIGN}"
)
_GET = select_by_ids(tables.campaigns, _CAMPAIGN)
_LOCK = select_by_ids(tables.campaigns, _CAMPAIGN, lock=True)
_FIND = text(f"SELECT {_CAMPAIGN} FROM campaigns WHERE tenant = :tenant AND name = :name")
_WITH_STATUS = text(f"SELECT {_CAMPAIGN} FROM campaigns WHERE status = :status ORDER BY id")
_SAVE = text(
    "UPDATE campaigns SET name = :name, status = :status, policy = CAST(:policy AS jsonb), "
    "started_at = :started_at, ended_at = :ended_at, version = version + 1 "
    "WHERE id = :id AND version = :version"
)
_ENROL = text(
    "INSERT INTO enrolments (id, campaign_id, lead_id, created_at) "
    "SELECT id, :campaign, lead_id, :now "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:leads AS uuid[])) AS r (id, lead_id) "
    "ORDER BY lead_id ON CONFLICT (campaign_id, lead_id) DO NOTHING"
)
_DUE = f"SELECT {_ENROLMENT} FROM enrolments WHERE campaign_id = :campaign AND {tables.TO_CALL} "
_WAITED = text(
    f"{_DUE} AND next_at <= :now ORDER BY next_at, id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)
_UNTIMED = text(
    f"{_DUE} AND next_at IS NULL ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)
_GET_ENROLMENTS = select_by_ids(tables.enrolments, _ENROLMENT)
_LOCK_ENROLMENTS = select_by_ids(tables.enrolments, _ENROLMENT, lock=True)
_OF_LEAD = text(f"SELECT {_ENROLMENT} FROM enrolments WHERE lead_id = :lead ORDER BY id")
_SAVE_ENROLMENTS = SaveMany(
    tables.enrolments, "enrolment", ("status", "attempts", "calls", "tries", "next_at")
)
_MOVE = text(
    "UPDATE enrolments AS t SET status = :new, version = t.version + 1, "
    "next_at = CASE WHEN CAST(:ends AS boolean) THEN NULL ELSE t.next_at END "
    "FROM (SELECT id FROM enrolments WHERE campaign_id = :campaign "
    "AND status = ANY(CAST(:old AS text[])) ORDER BY id FOR NO KEY UPDATE) AS r WHERE t.id = r.id"
)
_PROGRESS = text(
    "SELECT status, count(*) FROM enrolments WHERE campaign_id = :campaign GROUP BY status"
)


class PostgresCampaigns:
    """Implements `protocol.Campaigns`."""

    def __init__(self, session: Session, new_id: Callable[[], UUID]) -> None:
        self._session = session
        self._new_id = new_id

    async def add(self, tenant: str, name: str, policy: CampaignPolicy, now: datetime) -> Campaign:
        row = await self._session.first(
            _ADD,
            {
                "id": self._new_id(),
                "tenant": tenant,
                "name": name,
                "policy": policy_text(policy),
                "now": now,
            },
        )
        if row is None:
            raise ConflictError(f"tenant {tenant} has a campaign named {name!r} already")
        return campaign_of(row)

    async def get(self, campaign_id: UUID, *, lock: bool = False) -> Campaign:
        row = await self._session.first(_LOCK if lock else _GET, {"ids": [campaign_id]})
        if row is None:
            raise NotFoundError("campaign", campaign_id)
        return campaign_of(row)

    async def get_many(self, ids: Collection[UUID]) -> list[Campaign]:
        return [campaign_of(row) for row in await self._session.rows(_GET, {"ids": as_list(ids)})]

    async def find(self, tenant: str, name: str) -> Campaign | None:
        row = await self._session.first(_FIND, {"tenant": tenant, "name": name})
        return campaign_of(row) if row is not None else None

    async def with_status(self, status: CampaignStatus) -> list[Campaign]:
        rows = await self._session.rows(_WITH_STATUS, {"status": status})
        return [campaign_of(row) for row in rows]

    async def save(self, campaign: Campaign) -> None:
        saved = await self._session.run(
            _SAVE,
            {
                "id": campaign.id,
                "name": campaign.name,
                "status": campaign.status,
                "policy": policy_text(campaign.policy),
                "started_at": campaign.started_at,
                "ended_at": campaign.ended_at,
                "version": campaign.version,
            },
        )
        if not saved:
            raise stale("campaign", campaign.id)

    async def enrol(self, campaign_id: UUID, where: LeadFilter, now: datetime) -> int:
        leads = [row[0] for row in await self._session.rows(*matching(where))]
        return await self._session.run(
            _ENROL,
            {
                "campaign": campaign_id,
                "now": now,
                "ids": [self._new_id() for _ in leads],
                "leads": leads,
            },
        )

    async def due(self, campaign_id: UUID, now: datetime, limit: int) -> list[Enrolment]:
        rows = await self._session.rows(
            _WAITED, {"campaign": campaign_id, "now": now, "limit": limit}
        )
        if len(rows) < limit:
            rows = [
                *rows,
                *await self._session.rows(
                    _UNTIMED, {"campaign": campaign_id, "limit": limit - len(rows)}
                ),
            ]
        return [enrolment_of(row) for row in rows]

    async def enrolments(self, ids: Collection[UUID], *, lock: bool = False) -> list[Enrolment]:
        statement = _LOCK_ENROLMENTS if lock else _GET_ENROLMENTS
        rows = await self._session.rows(statement, {"ids": as_list(ids)})
        return [enrolment_of(row) for row in rows]

    async def enrolments_of(self, lead_id: UUID) -> list[Enrolment]:
        rows = await self._session.rows(_OF_LEAD, {"lead": lead_id})
        return [enrolment_of(row) for row in rows]

    async def save_enrolments(self, enrolments: Sequence[Enrolment]) -> None:
        await _SAVE_ENROLMENTS(self._session, enrolments)

    async def move_enrolments(
        self, campaign_id: UUID, old: Collection[EnrolmentStatus], new: EnrolmentStatus
    ) -> int:
        return await self._session.run(
            _MOVE,
            {"campaign": campaign_id, "old": as_list(old), "new": new, "ends": new in ENDED},
        )

    async def progress(self, campaign_id: UUID) -> Mapping[EnrolmentStatus, int]:
        rows = await self._session.rows(_PROGRESS, {"campaign": campaign_id})
        return enrolment_counts(rows)
