"""A campaign's life: started, paused, resumed, canceled, completed."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

import structlog

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.states import CAMPAIGN, ENROLMENT, CampaignStatus, EnrolmentStatus
from jobs.store.model import Campaign

log = structlog.get_logger(__name__)

OPEN = frozenset(status for status in EnrolmentStatus if not ENROLMENT.is_terminal(status))


class Action(StrEnum):
    """What a person can ask of a campaign."""

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


@job("campaign.set_status", timeout=60)
@retry()
async def set_status(ctx: JobContext, campaign_id: UUID, action: Action) -> CampaignStatus:
    """Starts, pauses, resumes or cancels a campaign. Raises ConflictError where it cannot.

    Calls in flight finish; no new one is dialled unless the campaign is running. Canceling ends
    the enrolments. An action whose effect is there already changes nothing.
    """
    target = TARGET[action]
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        campaign = await work.campaigns.get(campaign_id, lock=True)
        if campaign.status is target:
            return target
        await work.campaigns.save(moved(campaign, target, now))
        if target is CampaignStatus.CANCELED:
            await work.campaigns.move_enrolments(campaign_id, OPEN, EnrolmentStatus.REMOVED)
        if target is CampaignStatus.RUNNING:
            work.enqueue("campaign.schedule_calls", campaign_id)
    log.info("campaign_status", campaign_id=str(campaign_id), status=target.value)
    return target


def moved(campaign: Campaign, target: CampaignStatus, now: datetime) -> Campaign:
    """The campaign in its new state. Raises ConflictError where that is not allowed."""
    status = CAMPAIGN.advance(campaign.status, target)
    started = campaign.started_at or (now if status is CampaignStatus.RUNNING else None)
    ended = now if CAMPAIGN.is_terminal(status) else None
    return replace(campaign, status=status, started_at=started, ended_at=ended)


@job("campaign.check_completion", timeout=60)
@retry()
async def check_completion(ctx: JobContext, campaign_id: UUID) -> bool:
    """Completes a running campaign in which nothing is queued, in flight or waiting."""
    async with ctx["store"].begin() as work:
        campaign = await work.campaigns.get(campaign_id, lock=True)
        if campaign.status is not CampaignStatus.RUNNING:
            return campaign.status is CampaignStatus.COMPLETED
        progress = await work.campaigns.progress(campaign_id)
        if any(progress.get(status, 0) for status in OPEN):
            return False
        if await work.calls.in_flight(campaign_id):
            return False
        await work.campaigns.save(moved(campaign, CampaignStatus.COMPLETED, ctx["clock"].now()))
        work.enqueue("analytics.rollup")
        work.enqueue("analytics.report", campaign_id=campaign_id)
    return True
