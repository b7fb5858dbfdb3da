"""The end of a call, carried over to its enrolment: done, another try, or never again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from jobs.batches import batched
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.dispositions import Disposition, after_call, disposition_of
from jobs.rules.retry import next_attempt
from jobs.rules.states import CALL, ENROLMENT, CallStatus, EnrolmentStatus
from jobs.store.model import Call, Campaign, Enrolment, Lead
from jobs.store.protocol import Work

LEADS_PER_JOB = 50
SUPPRESSED_FOR = timedelta(days=5 * 365 + 2)
"""Do-not-call requests are kept five years: 47 CFR 64.1200(d)(6)."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that ended, with what its consequences depend on."""

    call: Call
    enrolment: Enrolment
    lead: Lead
    campaign: Campaign


@job("call.process_completed", timeout=30)
@retry()
async def process_completed(ctx: JobContext, *call_ids: UUID) -> None:
    """Gives ended calls their disposition and decides what comes next for their enrolments."""
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        calls, enrolments, changed_leads, suppressed = [], [], [], []
        for ended in await _load(work, call_ids):
            call = ended.call
            disposition = disposition_of(call.status, call.answered_by, call.outcome, call.sip_code)
            after = after_call(disposition, call.outcome)
            calls.append(replace(call, disposition=disposition, processed_at=now))
            enrolments.append(after_end(ended, disposition, after.enrolment, now))
            if after.lead_status is not None:
                changed_leads.append(call.id)
            if after.suppress:
                suppressed.append(ended.lead)
        await work.calls.save(calls)
        await work.campaigns.save_enrolments(enrolments)
        for lead in suppressed:
            await _suppress(work, lead, now)
        for chunk in batched(changed_leads, LEADS_PER_JOB):
            work.enqueue("lead.update_after_call", *chunk)


async def _load(work: Work, call_ids: Sequence[UUID]) -> list[Ended]:
    """The ended calls among these that were not processed yet, locked with their enrolments."""
    calls = [
        call
        for call in await work.calls.get_many(call_ids, lock=True)
        if CALL.is_terminal(call.status) and call.processed_at is None
    ]
    if not calls:
        return []
    enrolments = {
        enrolment.id: enrolment
        for enrolment in await work.campaigns.enrolments(
            {call.enrolment_id for call in calls}, lock=True
        )
    }
    leads = {lead.id: lead for lead in await work.leads.get_many({c.lead_id for c in calls})}
    campaigns = {
        campaign.id: campaign
        for campaign in await work.campaigns.get_many({call.campaign_id for call in calls})
    }
    return [
        Ended(call, enrolments[call.enrolment_id], leads[call.lead_id], campaigns[call.campaign_id])
        for call in calls
    ]


def after_end(
    ended: Ended, disposition: Disposition, target: EnrolmentStatus, now: datetime
) -> Enrolment:
    """The enrolment after a call that ended so; `target` is what the disposition asks for.

    An enrolment that was ended meanwhile (canceled, do-not-call) only counts the call.
    """
    call, enrolment, policy = ended.call, ended.enrolment, ended.campaign.policy
    tries = dict(Counter(enrolment.tries) + Counter([disposition]))
    attempts = enrolment.attempts + policy.retries.counts(disposition)
    counted = replace(enrolment, tries=tries, attempts=attempts)
    if enrolment.status is not EnrolmentStatus.CALLING:
        return counted
    next_at = None
    if target in (EnrolmentStatus.RETRY_WAIT, EnrolmentStatus.CALLBACK):
        next_at = next_attempt(
            policy.retries,
            disposition,
            tries,
            attempts,
            policy.caps.max_attempts,
            now,
            call.callback_at,
            ended.lead.window(policy.windows),
        )
        if next_at is None:
            target = EnrolmentStatus.EXHAUSTED
    return replace(counted, status=ENROLMENT.advance(enrolment.status, target), next_at=next_at)


async def _suppress(work: Work, lead: Lead, now: datetime) -> None:
    """Honours a do-not-call request: the suppression, and the end of all that was to come."""
    await work.leads.suppress(
        lead.tenant, lead.e164, reason="asked on a call", now=now, until=now + SUPPRESSED_FOR
    )
    pending = await work.calls.open_calls_of(lead.id)
    await work.calls.save(
        [
            replace(
                call,
                status=CALL.advance(call.status, CallStatus.SUPPRESSED),
                ended_at=now,
                processed_at=now,
            )
            for call in pending
        ]
    )
    others = await work.campaigns.enrolments_of(lead.id, lock=True)
    await work.campaigns.save_enrolments(
        [
            replace(
                enrolment,
                status=ENROLMENT.advance(enrolment.status, EnrolmentStatus.REMOVED),
                next_at=None,
            )
            for enrolment in others
            if not ENROLMENT.is_terminal(enrolment.status)
        ]
    )
