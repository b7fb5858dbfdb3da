"""Scheduling: due enrollments become scheduled calls, in batches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import structlog

from jobs.batches import batched
from jobs.campaign.status import with_status
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.pacing import calls_allowed
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import ENROLLMENT, CampaignStatus, EnrollmentStatus
from jobs.store.model import Campaign, Enrolment, Lead, NewCall
from jobs.store.protocol import Work

BATCH = 500
"""Enrollments that one job schedules."""
CALLS_PER_JOB = 50
"""Calls in one `call.dispatch`."""
TICK = timedelta(minutes=1)
"""Interval between two runs for a campaign."""

log = structlog.get_logger(__name__)


@job("campaign.tick", timeout=30, keep_result=0)
@retry()
async def tick(ctx: JobContext) -> int:
    """Enqueue `campaign.schedule_calls` for every running campaign.

    Returns:
        Count of running campaigns.
    """
    async with ctx["store"].begin() as work:
        running = await work.campaigns.with_status(CampaignStatus.RUNNING)
        for campaign in running:
            work.enqueue("campaign.schedule_calls", campaign.id)
    return len(running)


@job("campaign.schedule_calls", timeout=60)
@retry()
async def schedule_calls(ctx: JobContext, campaign_id: UUID) -> int:
    """Schedule one batch of due calls of a campaign, within its pace.

    A full batch enqueues the next batch. The campaign's row is locked, so that concurrent jobs do
    not exceed the pace. Trips the breaker if carriers fail; enqueues the completion check if no
    call is due or in flight.

    Args:
        ctx: Job context.
        campaign_id: The campaign.

    Returns:
        Count of scheduled calls.

    Raises:
        NotFoundError: The campaign does not exist.
    """
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        campaign = await work.campaigns.get(campaign_id, lock=True)
        if campaign.status is not CampaignStatus.RUNNING or await _trip_breaker(
            work, campaign, now
        ):
            return 0
        in_flight = await work.calls.in_flight(campaign_id)
        allowed = min(BATCH, calls_allowed(campaign.policy.pacing, in_flight, TICK))
        due = await work.campaigns.due(campaign_id, now, allowed) if allowed else []
        if not due:
            if not in_flight:
                work.enqueue("campaign.check_completion", campaign_id)
            return 0
        leads = {lead.id: lead for lead in await work.leads.get_many([e.lead_id for e in due])}
        scheduled = [schedule_enrollment(e, leads[e.lead_id], campaign.policy, now) for e in due]
        calls = [
            _new_call(campaign, e, leads[e.lead_id], now)
            for e in scheduled
            if e.status is EnrollmentStatus.CALLING
        ]
        await work.campaigns.save_enrolments(scheduled)
        await work.calls.add(calls, now)
        _enqueue_dispatch(work, calls, campaign.policy, now)
        if len(due) == BATCH:
            work.enqueue("campaign.schedule_calls", campaign_id)
    return len(calls)


def schedule_enrollment(
    enrollment: Enrolment, lead: Lead, policy: CampaignPolicy, now: datetime
) -> Enrolment:
    """Return an enrollment that is being called, or that waits for its calling window.

    If the lead's time zone is unknown or its window never opens, the enrollment ends.

    Args:
        enrollment: A due enrollment.
        lead: Its lead.
        policy: Policy of the campaign.
        now: Current time, timezone-aware.
    """
    opens = lead.window(policy.windows).next_open(now)
    if opens is None:
        was_called = enrollment.status is not EnrollmentStatus.QUEUED
        end = EnrollmentStatus.EXHAUSTED if was_called else EnrollmentStatus.REMOVED
        status = ENROLLMENT.advance(enrollment.status, end)
        return replace(enrollment, status=status, next_at=None)
    if opens > now:
        return replace(enrollment, next_at=opens)
    status = ENROLLMENT.advance(enrollment.status, EnrollmentStatus.CALLING)
    return replace(enrollment, status=status, calls=enrollment.calls + 1, next_at=None)


def attempt_id(enrollment_id: UUID, number: int) -> UUID:
    """Return the id of the call for an attempt.

    The id is derived, so that one attempt never becomes two calls.

    Args:
        enrollment_id: The enrollment.
        number: Number of the attempt, from 1.
    """
    return uuid5(enrollment_id, str(number))


async def _trip_breaker(work: Work, campaign: Campaign, now: datetime) -> bool:
    """Pause the campaign and return True if its breaker trips."""
    breaker = campaign.policy.breaker
    if breaker is None:
        return False
    failures, calls = await work.calls.ended_since(campaign.id, now - breaker.window)
    if not breaker.trips(failures, calls):
        return False
    await work.campaigns.save(with_status(campaign, CampaignStatus.PAUSED, now))
    log.warning("breaker_tripped", campaign_id=str(campaign.id), failures=failures, calls=calls)
    return True


def _new_call(campaign: Campaign, enrollment: Enrolment, lead: Lead, now: datetime) -> NewCall:
    return NewCall(
        id=attempt_id(enrollment.id, enrollment.calls),
        tenant=campaign.tenant,
        campaign_id=campaign.id,
        enrolment_id=enrollment.id,
        lead_id=enrollment.lead_id,
        number=enrollment.calls,
        scheduled_for=now,
        zone=lead.zones[0],
    )


def _enqueue_dispatch(
    work: Work, calls: Sequence[NewCall], policy: CampaignPolicy, now: datetime
) -> None:
    rate = policy.pacing.calls_per_second
    size = CALLS_PER_JOB if rate is None else max(1, min(CALLS_PER_JOB, int(rate)))
    for index, chunk in enumerate(batched(calls, size)):
        start = None if rate is None else now + timedelta(seconds=index * size / rate)
        work.enqueue("call.dispatch", *(call.id for call in chunk), defer_until=start)
