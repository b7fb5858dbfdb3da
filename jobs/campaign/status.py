"""Status of a campaign: start, pause, resume, cancel, complete."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

import structlog

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.states import CAMPAIGN, ENROLLMENT, CampaignStatus, EnrollmentStatus
from jobs.store.model import Campaign

log = structlog.get_logger(__name__)

OPEN = frozenset(status for status in EnrollmentStatus if not ENROLLMENT.is_terminal(status))
"""Statuses of enrollments that have not ended."""


class Action(StrEnum):
    """Change of a campaign's status that a person can request."""

    SCHEDULE = "schedule"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


TARGET: Mapping[Action, CampaignStatus] = MappingProxyType(
    {
        Action.SCHEDULE: CampaignStatus.SCHEDULED,
        Action.START: CampaignStatus.RUNNING,
        Action.PAUSE: CampaignStatus.PAUSED,
        Action.RESUME: CampaignStatus.RUNNING,
        Action.CANCEL: CampaignStatus.CANCELED,
    }
)
"""Status after each action."""


@job("campaign.set_status", timeout=60)
@retry()
async def set_status(ctx: JobContext, campaign_id: UUID, action: Action) -> CampaignStatus:
    """Start, pause, resume or cancel a campaign.

    Calls in flight finish; new calls are dialed only while the campaign is running. Canceling ends
    its enrollments. If the campaign already has the status, nothing changes.

    Args:
        ctx: Job context.
        campaign_id: The campaign.
        action: Requested change.

    Returns:
        Status after the action.

    Raises:
        NotFoundError: The campaign does not exist.
        ConflictError: The action is illegal in the campaign's status.
    """
    target = TARGET[action]
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        campaign = await work.campaigns.get(campaign_id, lock=True)
        if campaign.status is target:
            return target
        await work.campaigns.save(with_status(campaign, target, now))
        if target is CampaignStatus.CANCELED:
            await work.campaigns.move_enrolments(campaign_id, OPEN, EnrollmentStatus.REMOVED)
        if target is CampaignStatus.RUNNING:
            work.enqueue("campaign.schedule_calls", campaign_id)
    log.info("campaign_status", campaign_id=str(campaign_id), status=target.value)
    return target


def with_status(campaign: Campaign, target: CampaignStatus, now: datetime) -> Campaign:
    """Return a campaign with a new status and the times of its start and end.

    Args:
        campaign: The campaign.
        target: New status.
        now: Current time, timezone-aware.

    Raises:
        ConflictError: The transition is illegal.
    """
    status = CAMPAIGN.advance(campaign.status, target)
    started = campaign.started_at or (now if status is CampaignStatus.RUNNING else None)
    ended = now if CAMPAIGN.is_terminal(status) else None
    return replace(campaign, status=status, started_at=started, ended_at=ended)


@job("campaign.check_completion", timeout=60)
@retry()
async def check_completion(ctx: JobContext, campaign_id: UUID) -> bool:
    """Complete a running campaign if nothing is queued, in flight or waiting for a retry.

    Args:
        ctx: Job context.
        campaign_id: The campaign.

    Returns:
        True if the campaign is completed.

    Raises:
        NotFoundError: The campaign does not exist.
    """
    async with ctx["store"].begin() as work:
        campaign = await work.campaigns.get(campaign_id, lock=True)
        if campaign.status is not CampaignStatus.RUNNING:
            return campaign.status is CampaignStatus.COMPLETED
        progress = await work.campaigns.progress(campaign_id)
        if any(progress.get(status, 0) for status in OPEN):
            return False
        if await work.calls.in_flight(campaign_id):
            return False
        await work.campaigns.save(
            with_status(campaign, CampaignStatus.COMPLETED, ctx["clock"].now())
        )
        work.enqueue("analytics.rollup")
        work.enqueue("analytics.report", campaign_id=campaign_id)
    return True
