"""The end of a call, carried over to its enrolment (done, another try, or never again) and lead.

All of it is one transaction: once a call counts as processed, nothing about it is left to do.
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
from jobs.rules.states import CALL, ENROLMENT, CallStatus, EnrolmentStatus
from jobs.store.model import Call, Campaign, Enrolment, Lead
from jobs.store.protocol import Work

SUPPRESSED_FOR = timedelta(days=5 * 365 + 2)
"""Do-not-call requests are kept five years: 47 CFR 64.1200(d)(6)."""
REACHED = frozenset({Disposition.ANSWERED, Disposition.CALLBACK, Disposition.DO_NOT_CALL})
"""A person was on the line."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that ended, with what it changes and what that depends on."""

    call: Call
    disposition: Disposition
    after: AfterCall
    enrolment: Enrolment
    lead: Lead
    campaign: Campaign
    to_remove: Sequence[UUID] = ()
    """All enrolments of the lead, if it is not to be called again."""


@job("call.process_completed", timeout=30)
@retry()
async def process_completed(ctx: JobContext, *call_ids: UUID) -> None:
    """Gives ended calls their disposition, and decides what comes next for their enrolments and
    what becomes of their leads."""
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        ended = await _load(work, call_ids)
        await work.calls.save(
            [replace(one.call, disposition=one.disposition, processed_at=now) for one in ended]
        )
        await work.campaigns.save_enrolments([after_end(one, now) for one in ended])
        await work.leads.save(changed_leads(ended, now))
        for one in sorted(ended, key=lambda one: (one.lead.tenant, one.lead.e164)):
            if one.after.suppress:
                await _suppress(work, one, now)


async def _load(work: Work, call_ids: Sequence[UUID]) -> list[Ended]:
    """The ended calls among these that were not processed yet, with the rows that they change.

    Locked in the order in which dispatching locks them: calls, leads, enrolments.
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
    after = {id_: after_call(dispositions[id_], call.outcome) for id_, call in calls.items()}
    suppressed = {calls[id_].lead_id for id_, one in after.items() if one.suppress}
    moved = {calls[id_].lead_id for id_, one in after.items() if one.lead_status is not None}
    unmoved = {call.lead_id for call in calls.values()} - moved
    leads = {
        lead.id: lead
        for lead in (
            *await work.leads.get_many(moved, lock=True),
            *await work.leads.get_many(unmoved),
        )
    }
    to_remove = {
        lead_id: [enrolment.id for enrolment in await work.campaigns.enrolments_of(lead_id)]
        for lead_id in suppressed
    }
    # All at once, or they would not be locked in the order of their ids.
    ids = {call.enrolment_id for call in calls.values()}.union(*to_remove.values())
    enrolments = {
        enrolment.id: enrolment for enrolment in await work.campaigns.enrolments(ids, lock=True)
    }
    campaigns = {
        campaign.id: campaign
        for campaign in await work.campaigns.get_many({c.campaign_id for c in calls.values()})
    }
    return [
        Ended(
            call,
            dispositions[call.id],
            after[call.id],
            enrolments[call.enrolment_id],
            leads[call.lead_id],
            campaigns[call.campaign_id],
            to_remove.get(call.lead_id, ()),
        )
        for call in calls.values()
    ]


def changed_leads(ended: Sequence[Ended], now: datetime) -> list[Lead]:
    """The leads as these calls leave them, in the order of their ends; those that change."""
    before = {one.lead.id: one.lead for one in ended}
    after = dict(before)
    for one in sorted(ended, key=lambda one: (one.call.ended_at or now, one.call.id)):
        after[one.lead.id] = lead_after(after[one.lead.id], one)
    return [
        replace(lead, updated_at=now) for lead_id, lead in after.items() if lead != before[lead_id]
    ]


def lead_after(lead: Lead, ended: Ended) -> Lead:
    """The lead after one call, which moves it only where the state machine lets it, never back."""
    status, call = ended.after.lead_status, ended.call
    contacts = [lead.last_contacted_at]
    if ended.disposition in REACHED:
        contacts.append(call.answered_at or call.ended_at)
    return replace(
        lead,
        status=lead.status if status is None else move_lead(lead.status, status),
        last_contacted_at=max((moment for moment in contacts if moment is not None), default=None),
    )


def after_end(ended: Ended, now: datetime) -> Enrolment:
    """The enrolment after the call.

    An enrolment that was ended meanwhile (canceled, do-not-call) only counts the call.
    """
    call, enrolment, policy = ended.call, ended.enrolment, ended.campaign.policy
    disposition, target = ended.disposition, ended.after.enrolment
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


async def _suppress(work: Work, ended: Ended, now: datetime) -> None:
    """Honours a do-not-call request: the suppression, and the end of all that was to come.

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
    others = await work.campaigns.enrolments(ended.to_remove, lock=True)
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
