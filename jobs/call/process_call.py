"""Ended calls: disposition, next step of the enrollment, and status of the lead.

All changes of a call are one transaction: a call with `processed_at` needs no further work.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.dispositions import (
    AfterCall,
    Disposition,
    after_call,
    disposition_of,
    move_lead,
)
from jobs.rules.redial import next_attempt
from jobs.rules.states import CALL, ENROLLMENT, CallStatus, EnrollmentStatus
from jobs.store.model import Call, Campaign, Enrolment, Lead
from jobs.store.protocol import Work

SUPPRESSED_FOR = timedelta(days=5 * 365 + 2)
"""Do-not-call requests are kept for five years: 47 CFR 64.1200(d)(6)."""
REACHED = frozenset({Disposition.ANSWERED, Disposition.CALLBACK, Disposition.DO_NOT_CALL})
"""Dispositions of calls that reached a person."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Ended call with its effects and the rows that these depend on."""

    call: Call
    disposition: Disposition
    effects: AfterCall
    enrollment: Enrolment
    lead: Lead
    campaign: Campaign
    to_remove: Sequence[UUID] = ()
    """Ids of all enrollments of the lead, if it must not be called again."""


@job("call.process_completed", timeout=30)
@retry()
async def process_completed(ctx: JobContext, *call_ids: UUID) -> None:
    """Set the dispositions of ended calls, and update their enrollments and leads.

    A do-not-call request also suppresses the number and ends the lead's other enrollments and
    scheduled calls.

    Args:
        ctx: Job context.
        call_ids: The calls. Calls that have not ended or are already processed are skipped.
    """
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        ended_calls = await _load(work, call_ids)
        await work.calls.save(
            [
                replace(ended.call, disposition=ended.disposition, processed_at=now)
                for ended in ended_calls
            ]
        )
        await work.campaigns.save_enrolments(
            [apply_call_to_enrollment(ended, now) for ended in ended_calls]
        )
        await work.leads.save(apply_calls_to_leads(ended_calls, now))
        for ended in sorted(ended_calls, key=lambda ended: (ended.lead.tenant, ended.lead.e164)):
            if ended.effects.suppress:
                await _suppress(work, ended, now)


async def _load(work: Work, call_ids: Sequence[UUID]) -> list[Ended]:
    """Load the ended, unprocessed calls among these, with the rows that they change.

    Locks rows in the same order as `call.dispatch`: calls, leads, enrollments.
    """
    calls = {
        call.id: call
        for call in await work.calls.get_many(call_ids, lock=True)
        if CALL.is_terminal(call.status) and call.processed_at is None
    }
    if not calls:
        return []
    dispositions = {
        call.id: disposition_of(call.status, call.answered_by, call.outcome, call.sip_code)
        for call in calls.values()
    }
    effects = {id_: after_call(dispositions[id_], call.outcome) for id_, call in calls.items()}
    suppressed = {calls[id_].lead_id for id_ in calls if effects[id_].suppress}
    changed = {calls[id_].lead_id for id_ in calls if effects[id_].lead_status is not None}
    unchanged = {call.lead_id for call in calls.values()} - changed
    leads = {
        lead.id: lead
        for lead in (
            *await work.leads.get_many(changed, lock=True),
            *await work.leads.get_many(unchanged),
        )
    }
    to_remove = {
        lead_id: [enrollment.id for enrollment in await work.campaigns.enrolments_of(lead_id)]
        for lead_id in suppressed
    }
    # One statement locks all enrollments, so that they are locked in the order of their ids.
    ids = {call.enrolment_id for call in calls.values()}.union(*to_remove.values())
    enrollments = {
        enrollment.id: enrollment for enrollment in await work.campaigns.enrolments(ids, lock=True)
    }
    campaigns = {
        campaign.id: campaign
        for campaign in await work.campaigns.get_many({c.campaign_id for c in calls.values()})
    }
    return [
        Ended(
            call,
            dispositions[call.id],
            effects[call.id],
            enrollments[call.enrolment_id],
            leads[call.lead_id],
            campaigns[call.campaign_id],
            to_remove.get(call.lead_id, ()),
        )
        for call in calls.values()
    ]


def apply_calls_to_leads(ended_calls: Sequence[Ended], now: datetime) -> list[Lead]:
    """Return the leads that change, with the calls applied in the order of their ends.

    Args:
        ended_calls: The calls; a lead may have several.
        now: Current time, timezone-aware.
    """
    before = {ended.lead.id: ended.lead for ended in ended_calls}
    after = dict(before)
    for ended in sorted(ended_calls, key=lambda ended: (ended.call.ended_at or now, ended.call.id)):
        after[ended.lead.id] = apply_call_to_lead(after[ended.lead.id], ended)
    return [
        replace(lead, updated_at=now) for lead_id, lead in after.items() if lead != before[lead_id]
    ]


def apply_call_to_lead(lead: Lead, ended: Ended) -> Lead:
    """Return a lead with the status and last contact that follow from an ended call."""
    status, call = ended.effects.lead_status, ended.call
    contacts = [lead.last_contacted_at]
    if ended.disposition in REACHED:
        contacts.append(call.answered_at or call.ended_at)
    return replace(
        lead,
        status=lead.status if status is None else move_lead(lead.status, status),
        last_contacted_at=max((moment for moment in contacts if moment is not None), default=None),
    )


def apply_call_to_enrollment(ended: Ended, now: datetime) -> Enrolment:
    """Return the enrollment with an ended call counted and its next step decided.

    If the enrollment ended in the meantime (canceled, do-not-call), the call is only counted.

    Args:
        ended: The call.
        now: Current time, timezone-aware.
    """
    call, enrollment, policy = ended.call, ended.enrollment, ended.campaign.policy
    disposition, target = ended.disposition, ended.effects.enrollment
    tries = dict(Counter(enrollment.tries) + Counter([disposition]))
    attempts = enrollment.attempts + policy.retries.counts(disposition)
    counted = replace(enrollment, tries=tries, attempts=attempts)
    if enrollment.status is not EnrollmentStatus.CALLING:
        return counted
    next_at = None
    if target in (EnrollmentStatus.RETRY_WAIT, EnrollmentStatus.CALLBACK):
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
            target = EnrollmentStatus.EXHAUSTED
    return replace(counted, status=ENROLLMENT.advance(enrollment.status, target), next_at=next_at)


async def _suppress(work: Work, ended: Ended, now: datetime) -> None:
    """Suppress the number of a lead, and end its scheduled calls and enrollments.

    An open call that another transaction holds is left to `call.dispatch`, which finds the
    suppression before it dials.
    """
    lead = ended.lead
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
    enrollments = await work.campaigns.enrolments(ended.to_remove, lock=True)
    await work.campaigns.save_enrolments(
        [
            replace(
                enrollment,
                status=ENROLLMENT.advance(enrollment.status, EnrollmentStatus.REMOVED),
                next_at=None,
            )
            for enrollment in enrollments
            if not ENROLLMENT.is_terminal(enrollment.status)
        ]
    )
