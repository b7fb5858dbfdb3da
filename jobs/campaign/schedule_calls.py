"""Which leads are called next: due enrolments become scheduled calls, in batches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import structlog

from jobs.batches import batched
from jobs.campaign.status import moved
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.pacing import slots
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import ENROLMENT, CampaignStatus, EnrolmentStatus
from jobs.store.model import Campaign, Enrolment, Lead, NewCall
from jobs.store.protocol import Work

BATCH = 500
CALLS_PER_JOB = 50
TICK = timedelta(minutes=1)

log = structlog.get_logger(__name__)


@job("campaign.tick", timeout=30, keep_result=0)
@retry()
async def tick(ctx: JobContext) -> int:
    """Has calls scheduled for every running campaign; answers how many there are."""
    async with ctx["store"].begin() as work:
        running = await work.campaigns.with_status(CampaignStatus.RUNNING)
        for campaign in running:
            work.enqueue("campaign.schedule_calls", campaign.id)
    return len(running)


@job("campaign.schedule_calls", timeout=60)
@retry()
async def schedule_calls(ctx: JobContext, campaign_id: UUID) -> int:
    """Schedules a batch of the campaign's due calls within its pace; answers how many.

    A full batch enqueues the next one. The campaign's row is locked, so that two of these jobs
    cannot fill the same slots.
    """
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        campaign = await work.campaigns.get(campaign_id, lock=True)
        if campaign.status is not CampaignStatus.RUNNING or await _tripped(work, campaign, now):
            return 0
        in_flight = await work.calls.in_flight(campaign_id)
        room = min(BATCH, slots(campaign.policy.pacing, in_flight, TICK))
        due = await work.campaigns.due(campaign_id, now, room) if room else []
        if not due:
            if not in_flight:
                work.enqueue("campaign.check_completion", campaign_id)
            return 0
        leads = {lead.id: lead for lead in await work.leads.get_many([e.lead_id for e in due])}
        after = [scheduled(e, leads[e.lead_id], campaign.policy, now) for e in due]
        calls = [
            _new_call(campaign, e, leads[e.lead_id], now)
            for e in after
            if e.status is EnrolmentStatus.CALLING
        ]
        await work.campaigns.save_enrolments(after)
        await work.calls.add(calls, now)
        _enqueue_dispatch(work, calls, campaign.policy, now)
        if len(due) == BATCH:
            work.enqueue("campaign.schedule_calls", campaign_id)
    return len(calls)


def scheduled(enrolment: Enrolment, lead: Lead, policy: CampaignPolicy, now: datetime) -> Enrolment:
    """The enrolment on its way to a call, or waiting for its window.

    A lead whose zone is unknown, or that no window ever opens for, is not dialled at all.
    """
    opens = lead.window(policy.windows).next_open(now)
    if opens is None:
        waiting = enrolment.status is not EnrolmentStatus.QUEUED
        end = EnrolmentStatus.EXHAUSTED if waiting else EnrolmentStatus.REMOVED
        status = ENROLMENT.advance(enrolment.status, end)
        return replace(enrolment, status=status, next_at=None)
    if opens > now:
        return replace(enrolment, next_at=opens)
    status = ENROLMENT.advance(enrolment.status, EnrolmentStatus.CALLING)
    return replace(enrolment, status=status, calls=enrolment.calls + 1, next_at=None)


def attempt_id(enrolment_id: UUID, number: int) -> UUID:
    """The id of an enrolment's call; derived, so that one attempt can never become two calls."""
    return uuid5(enrolment_id, str(number))


async def _tripped(work: Work, campaign: Campaign, now: datetime) -> bool:
    breaker = campaign.policy.breaker
    if breaker is None:
        return False
    failures, calls = await work.calls.ended_since(campaign.id, now - breaker.window)
    if not breaker.trips(failures, calls):
        return False
    await work.campaigns.save(moved(campaign, CampaignStatus.PAUSED, now))
    log.warning("breaker_tripped", campaign_id=str(campaign.id), failures=failures, calls=calls)
    return True


def _new_call(campaign: Campaign, enrolment: Enrolment, lead: Lead, now: datetime) -> NewCall:
    return NewCall(
        id=attempt_id(enrolment.id, enrolment.calls),
        tenant=campaign.tenant,
        campaign_id=campaign.id,
        enrolment_id=enrolment.id,
        lead_id=enrolment.lead_id,
        number=enrolment.calls,
        scheduled_for=now,
        zone=lead.zones[0],
    )


def _enqueue_dispatch(
    work: Work, calls: Sequence[NewCall], policy: CampaignPolicy, now: datetime
) -> None:
    pace = policy.pacing.calls_per_second
    size = CALLS_PER_JOB if pace is None else max(1, min(CALLS_PER_JOB, int(pace)))
    for number, chunk in enumerate(batched(calls, size)):
        later = None if pace is None else now + timedelta(seconds=number * size / pace)
        work.enqueue("call.dispatch", *(call.id for call in chunk), defer_until=later)
