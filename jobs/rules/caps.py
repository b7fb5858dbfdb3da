"""Attempt caps of leads and numbers, and the check right before a call is dialed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from jobs.rules.frozen import Frozen
from jobs.rules.states import CampaignStatus, LeadStatus
from jobs.rules.windows import WindowRules, is_open

_Count = Annotated[int, Field(ge=1)]


class Caps(Frozen):
    """Maximum numbers of attempts; None means no cap.

    Attributes:
        max_attempts: Attempts per lead and campaign.
        max_per_number: Dials per number within any period of length `per`, across campaigns.
        per: Length of that period.
    """

    max_attempts: _Count | None = 6
    max_per_number: _Count | None = 3
    per: Annotated[timedelta, Field(gt=timedelta())] = timedelta(hours=24)


class Refusal(StrEnum):
    """Reason to refuse a dial."""

    SUPPRESSED = "suppressed"
    INVALID_NUMBER = "invalid_number"
    CAMPAIGN_NOT_RUNNING = "campaign_not_running"
    UNKNOWN_ZONE = "unknown_zone"
    WINDOW = "window"
    ATTEMPT_CAP = "attempt_cap"
    NUMBER_CAP = "number_cap"

    @property
    def passes(self) -> bool:
        """True if the reason is temporary: the same call may be dialed later."""
        return self in _TEMPORARY


_TEMPORARY: Final = frozenset({Refusal.CAMPAIGN_NOT_RUNNING, Refusal.WINDOW, Refusal.NUMBER_CAP})


def check_dispatch(
    *,
    campaign: CampaignStatus,
    lead: LeadStatus,
    suppressed: bool,
    attempts: int,
    dials: int,
    caps: Caps,
    windows: WindowRules,
    zones: Sequence[str],
    region: str | None,
    now: datetime,
) -> Refusal | None:
    """Return the reason to refuse a dial, or None if the call may be dialed.

    If several reasons apply, a permanent one is returned before a temporary one.

    Args:
        campaign: Status of the campaign.
        lead: Status of the lead.
        suppressed: True if the number is on the suppression list.
        attempts: Counted attempts of the lead in this campaign, without this call.
        dials: Dials of the number in all campaigns within `caps.per` before `now`, without this
            call.
        caps: Caps of the campaign.
        windows: Calling windows of the campaign.
        zones: IANA zones in which the lead may be; the window must be open in each of them.
        region: ISO 3166 region of the lead; None if unknown.
        now: Time of the dial, timezone-aware.
    """
    if suppressed or lead is LeadStatus.DNC:
        return Refusal.SUPPRESSED
    if lead is LeadStatus.INVALID:
        return Refusal.INVALID_NUMBER
    if not zones:
        return Refusal.UNKNOWN_ZONE
    if caps.max_attempts is not None and attempts >= caps.max_attempts:
        return Refusal.ATTEMPT_CAP
    if campaign is not CampaignStatus.RUNNING:
        return Refusal.CAMPAIGN_NOT_RUNNING
    if caps.max_per_number is not None and dials >= caps.max_per_number:
        return Refusal.NUMBER_CAP
    return None if is_open(windows, zones, region, now) else Refusal.WINDOW
