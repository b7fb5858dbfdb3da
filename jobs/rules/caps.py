"""How often a lead and a number may be called, and the last look before a call is dialled."""

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
    """The most attempts; None is no cap.

    max_attempts: for a lead within a campaign. max_per_number: dials of a number within any `per`,
    in all campaigns together.
    """

    max_attempts: _Count | None = 6
    max_per_number: _Count | None = 3
    per: Annotated[timedelta, Field(gt=timedelta())] = timedelta(hours=24)


class Refusal(StrEnum):
    """Why a call may not be dialled now."""

    SUPPRESSED = "suppressed"
    INVALID_NUMBER = "invalid_number"
    CAMPAIGN_NOT_RUNNING = "campaign_not_running"
    UNKNOWN_ZONE = "unknown_zone"
    WINDOW = "window"
    ATTEMPT_CAP = "attempt_cap"
    NUMBER_CAP = "number_cap"

    @property
    def passes(self) -> bool:
        """Whether waiting helps: what stands in the way may be gone later."""
        return self in _PASSING


_PASSING: Final = frozenset({Refusal.CAMPAIGN_NOT_RUNNING, Refusal.WINDOW, Refusal.NUMBER_CAP})


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
    """Why this call may not be dialled at `now`, the most lasting reason first; None if it may.

    attempts: the lead's earlier ones in the campaign that count. dials: of the number in all
    campaigns within `caps.per` before now. This call is in neither.
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
