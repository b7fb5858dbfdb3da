"""Check right before dialing: window, suppression, campaign and caps as they are now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from jobs.rules.caps import Refusal, check_dispatch
from jobs.rules.states import CALL, ENROLLMENT, CallStatus, CampaignStatus, EnrollmentStatus
from jobs.store.model import Call, Campaign, Enrolment, Lead
from jobs.store.protocol import Work

NUMBER_CAP_RECHECK = timedelta(hours=1)
"""Time until a lead whose number reached its cap is checked again."""

_FINAL_STATUS: Mapping[Refusal, CallStatus] = {
    Refusal.SUPPRESSED: CallStatus.SUPPRESSED,
    Refusal.INVALID_NUMBER: CallStatus.CANCELED,
    Refusal.CAMPAIGN_NOT_RUNNING: CallStatus.CANCELED,
    Refusal.UNKNOWN_ZONE: CallStatus.CANCELED,
    Refusal.ATTEMPT_CAP: CallStatus.CANCELED,
    Refusal.WINDOW: CallStatus.EXPIRED,
    Refusal.NUMBER_CAP: CallStatus.EXPIRED,
}


@dataclass(slots=True)
class CheckResult:
    """Result of the check for a batch of calls.

    Attributes:
        allowed: Calls that may be dialed.
        numbers: E.164 numbers of the allowed calls, by call id.
        ended: Calls that end without being dialed.
        enrollments: Changed enrollments of the ended calls.
    """

    allowed: list[Call] = field(default_factory=list)
    numbers: dict[UUID, str] = field(default_factory=dict)
    ended: list[Call] = field(default_factory=list)
    enrollments: list[Enrolment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Rows that the check of a batch depends on.

    dials: dials by campaign and lead; each campaign has its own period. suppressed: suppressed
    numbers as (tenant, e164).
    """

    enrollments: Mapping[UUID, Enrolment]
    leads: Mapping[UUID, Lead]
    campaigns: Mapping[UUID, Campaign]
    dials: Mapping[tuple[UUID, UUID], int]
    suppressed: frozenset[tuple[str, str]]


async def check_calls(work: Work, calls: Sequence[Call], now: datetime) -> CheckResult:
    """Check which calls may be dialed now.

    Args:
        work: Transaction; the leads and enrollments of the calls stay locked in it.
        calls: Calls that are due.
        now: Current time, timezone-aware.
    """
    result = CheckResult()
    if not calls:
        return result
    inputs = await _load_inputs(work, calls, now)
    for call in calls:
        campaign, lead = inputs.campaigns[call.campaign_id], inputs.leads[call.lead_id]
        enrollment = inputs.enrollments[call.enrolment_id]
        refusal = check_dispatch(
            campaign=campaign.status,
            lead=lead.status,
            suppressed=(lead.tenant, lead.e164) in inputs.suppressed,
            attempts=enrollment.attempts,
            dials=inputs.dials.get((campaign.id, lead.id), 0),
            caps=campaign.policy.caps,
            windows=campaign.policy.windows,
            zones=lead.zones,
            region=lead.region,
            now=now,
        )
        if refusal is None:
            result.allowed.append(call)
            result.numbers[call.id] = lead.e164
            continue
        result.ended.append(_end_undialed(call, refusal, now))
        refused = _refuse_enrollment(enrollment, refusal, campaign, lead, now)
        if refused is not enrollment:
            result.enrollments.append(refused)
    return result


async def _load_inputs(work: Work, calls: Sequence[Call], now: datetime) -> _Inputs:
    # The leads are locked, so that two campaigns cannot both use the last dial of a number's cap.
    leads = await work.leads.get_many({call.lead_id for call in calls}, lock=True)
    enrollments = await work.campaigns.enrolments({c.enrolment_id for c in calls}, lock=True)
    campaigns = await work.campaigns.get_many({call.campaign_id for call in calls})
    return _Inputs(
        enrollments={enrollment.id: enrollment for enrollment in enrollments},
        leads={lead.id: lead for lead in leads},
        campaigns={campaign.id: campaign for campaign in campaigns},
        dials=await _dials(work, calls, campaigns, now),
        suppressed=await _suppressed(work, leads, now),
    )


async def _dials(
    work: Work, calls: Sequence[Call], campaigns: Iterable[Campaign], now: datetime
) -> Mapping[tuple[UUID, UUID], int]:
    dials = {}
    for campaign in campaigns:
        if campaign.policy.caps.max_per_number is None:
            continue
        leads = {call.lead_id for call in calls if call.campaign_id == campaign.id}
        since = now - campaign.policy.caps.per
        for lead_id, count in (await work.calls.dials(campaign.tenant, leads, since)).items():
            dials[campaign.id, lead_id] = count
    return dials


async def _suppressed(
    work: Work, leads: Iterable[Lead], now: datetime
) -> frozenset[tuple[str, str]]:
    by_tenant: dict[str, set[str]] = {}
    for lead in leads:
        by_tenant.setdefault(lead.tenant, set()).add(lead.e164)
    suppressed = set()
    for tenant, numbers in by_tenant.items():
        for number in await work.leads.suppressed(tenant, numbers, now):
            suppressed.add((tenant, number))
    return frozenset(suppressed)


def _end_undialed(call: Call, refusal: Refusal, now: datetime) -> Call:
    # A call that the provider refused earlier is `dialing`: it can only fail.
    end = _FINAL_STATUS[refusal] if call.status is CallStatus.SCHEDULED else CallStatus.FAILED
    status = CALL.advance(call.status, end)
    return replace(call, status=status, ended_at=now, processed_at=now)


def _refuse_enrollment(
    enrollment: Enrolment, refusal: Refusal, campaign: Campaign, lead: Lead, now: datetime
) -> Enrolment:
    if enrollment.status is not EnrollmentStatus.CALLING:
        return enrollment
    next_at = _next_at(refusal, campaign, lead, now)
    if next_at is not None:
        new = EnrollmentStatus.RETRY_WAIT
    elif refusal is Refusal.ATTEMPT_CAP:
        new = EnrollmentStatus.EXHAUSTED
    else:
        new = EnrollmentStatus.REMOVED
    return replace(enrollment, status=ENROLLMENT.advance(enrollment.status, new), next_at=next_at)


def _next_at(refusal: Refusal, campaign: Campaign, lead: Lead, now: datetime) -> datetime | None:
    """Return the time of the next check; None if waiting does not help."""
    if not refusal.passes:
        return None
    if refusal is Refusal.CAMPAIGN_NOT_RUNNING:
        return now if campaign.status is CampaignStatus.PAUSED else None
    wait = NUMBER_CAP_RECHECK if refusal is Refusal.NUMBER_CAP else timedelta()
    return lead.window(campaign.policy.windows).next_open(now + wait)
