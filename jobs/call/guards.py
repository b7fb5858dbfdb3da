"""The last look before dialling: window, suppression, campaign and caps, as they are now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from jobs.rules.caps import Refusal, check_dispatch
from jobs.rules.states import CALL, ENROLMENT, CallStatus, CampaignStatus, EnrolmentStatus
from jobs.store.model import Call, Campaign, Enrolment, Lead
from jobs.store.protocol import Work

NUMBER_CAP_RECHECK = timedelta(hours=1)

_ENDS: Mapping[Refusal, CallStatus] = {
    Refusal.SUPPRESSED: CallStatus.SUPPRESSED,
    Refusal.INVALID_NUMBER: CallStatus.CANCELED,
    Refusal.CAMPAIGN_NOT_RUNNING: CallStatus.CANCELED,
    Refusal.UNKNOWN_ZONE: CallStatus.CANCELED,
    Refusal.ATTEMPT_CAP: CallStatus.CANCELED,
    Refusal.WINDOW: CallStatus.EXPIRED,
    Refusal.NUMBER_CAP: CallStatus.EXPIRED,
}


@dataclass(slots=True)
class Checked:
    """What may be dialled, and what ends here; `numbers` has the E.164 of the allowed calls."""

    allowed: list[Call] = field(default_factory=list)
    numbers: dict[UUID, str] = field(default_factory=dict)
    ended: list[Call] = field(default_factory=list)
    enrolments: list[Enrolment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the decision about a call depends on, read in one go for a batch."""

    enrolments: Mapping[UUID, Enrolment]
    leads: Mapping[UUID, Lead]
    campaigns: Mapping[UUID, Campaign]
    dials: Mapping[tuple[UUID, UUID], int]
    """By campaign, since each has its own period, and lead."""
    suppressed: frozenset[tuple[str, str]]
    """Tenant and number."""


async def check(work: Work, calls: Sequence[Call], now: datetime) -> Checked:
    """Sorts the calls into those that may be dialled at `now` and those that end undialled."""
    checked = Checked()
    if not calls:
        return checked
    known = await _circumstances(work, calls, now)
    for call in calls:
        campaign, lead = known.campaigns[call.campaign_id], known.leads[call.lead_id]
        enrolment = known.enrolments[call.enrolment_id]
        refusal = check_dispatch(
            campaign=campaign.status,
            lead=lead.status,
            suppressed=(lead.tenant, lead.e164) in known.suppressed,
            attempts=enrolment.attempts,
            dials=known.dials.get((campaign.id, lead.id), 0),
            caps=campaign.policy.caps,
            windows=campaign.policy.windows,
            zones=lead.zones,
            region=lead.region,
            now=now,
        )
        if refusal is None:
            checked.allowed.append(call)
            checked.numbers[call.id] = lead.e164
            continue
        checked.ended.append(_undialled(call, refusal, now))
        after = _waiting_or_ended(enrolment, refusal, campaign, lead, now)
        if after is not enrolment:
            checked.enrolments.append(after)
    return checked


async def _circumstances(work: Work, calls: Sequence[Call], now: datetime) -> Circumstances:
    # The leads are locked, so that two campaigns cannot both take a number's last dial of a day.
    leads = await work.leads.get_many({call.lead_id for call in calls}, lock=True)
    enrolments = await work.campaigns.enrolments({c.enrolment_id for c in calls}, lock=True)
    campaigns = await work.campaigns.get_many({call.campaign_id for call in calls})
    return Circumstances(
        enrolments={enrolment.id: enrolment for enrolment in enrolments},
        leads={lead.id: lead for lead in leads},
        campaigns={campaign.id: campaign for campaign in campaigns},
        dials=await _dials(work, calls, campaigns, now),
        suppressed=await _suppressed(work, leads, now),
    )


async def _dials(
    work: Work, calls: Sequence[Call], campaigns: Iterable[Campaign], now: datetime
) -> Mapping[tuple[UUID, UUID], int]:
    found = {}
    for campaign in campaigns:
        if campaign.policy.caps.max_per_number is None:
            continue
        leads = {call.lead_id for call in calls if call.campaign_id == campaign.id}
        since = now - campaign.policy.caps.per
        for lead_id, count in (await work.calls.dials(campaign.tenant, leads, since)).items():
            found[campaign.id, lead_id] = count
    return found


async def _suppressed(
    work: Work, leads: Iterable[Lead], now: datetime
) -> frozenset[tuple[str, str]]:
    numbers: dict[str, set[str]] = {}
    for lead in leads:
        numbers.setdefault(lead.tenant, set()).add(lead.e164)
    found = set()
    for tenant, of_tenant in numbers.items():
        for number in await work.leads.suppressed(tenant, of_tenant, now):
            found.add((tenant, number))
    return frozenset(found)


def _undialled(call: Call, refusal: Refusal, now: datetime) -> Call:
    # A call that the provider refused before is past `scheduled`, where only failing is legal.
    end = _ENDS[refusal] if call.status is CallStatus.SCHEDULED else CallStatus.FAILED
    status = CALL.advance(call.status, end)
    return replace(call, status=status, ended_at=now, processed_at=now)


def _waiting_or_ended(
    enrolment: Enrolment, refusal: Refusal, campaign: Campaign, lead: Lead, now: datetime
) -> Enrolment:
    if enrolment.status is not EnrolmentStatus.CALLING:
        return enrolment
    next_at = _next_at(refusal, campaign, lead, now)
    if next_at is not None:
        new = EnrolmentStatus.RETRY_WAIT
    elif refusal is Refusal.ATTEMPT_CAP:
        new = EnrolmentStatus.EXHAUSTED
    else:
        new = EnrolmentStatus.REMOVED
    return replace(enrolment, status=ENROLMENT.advance(enrolment.status, new), next_at=next_at)


def _next_at(refusal: Refusal, campaign: Campaign, lead: Lead, now: datetime) -> datetime | None:
    """When to look again; None when never."""
    if not refusal.passes:
        return None
    if refusal is Refusal.CAMPAIGN_NOT_RUNNING:
        return now if campaign.status is CampaignStatus.PAUSED else None
    wait = NUMBER_CAP_RECHECK if refusal is Refusal.NUMBER_CAP else timedelta()
    return lead.window(campaign.policy.windows).next_open(now + wait)
