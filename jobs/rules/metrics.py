"""The figures of calling: ratios derived from sums and counts, which alone are stored.

A ratio whose denominator is zero is None, never 0.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from jobs.rules.localtime import day_start
from jobs.rules.zones import zone

BUCKET: Final = timedelta(minutes=15)
"""Hours would not serve the zones that are half or three quarters of an hour off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums and counts over some calls and leads; what is not known may stay 0.

    All but the three counts of leads add up over buckets: a lead may be in several.
    """

    attempts: int = 0
    answered: int = 0
    """By a human or a machine."""
    answered_by_human: int = 0
    abandoned: int = 0
    """Answered by a human, with nobody on our side."""
    conversions: int = 0
    seconds: int = 0
    """Of conversation."""
    hold_seconds: int = 0
    wrap_seconds: int = 0
    handled: int = 0
    """Calls that seconds, hold and wrap are of."""
    price: Decimal = Decimal(0)
    leads: int = 0
    """In the list."""
    leads_tried: int = 0
    leads_reached: int = 0
    """By a human-answered call."""
    open_window_hours: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Ratios; times in seconds, costs in the currency of the prices."""

    asr: float | None
    """Answer-seizure ratio, also called connect rate: answered ÷ attempts."""
    live_answer_rate: float | None
    """Answered by a human ÷ attempts."""
    contact_rate: float | None
    """Leads reached by a human ÷ leads in the list."""
    penetration: float | None
    """Leads tried at least once ÷ leads."""
    saturation: float | None
    """Attempts ÷ leads."""
    acd: float | None
    """Average call duration: answered seconds ÷ answered."""
    aht: float | None
    """Average handle time: (talk + hold + wrap) ÷ handled."""
    conversion_per_attempt: float | None
    conversion_per_contact: float | None
    """Conversions ÷ calls answered by a human."""
    conversion_per_lead: float | None
    attempts_per_lead: float | None
    """Attempts ÷ leads tried."""
    calls_per_hour: float | None
    """Attempts ÷ hours in which the window was open."""
    cost_per_conversion: float | None
    abandon_rate: float | None
    """Abandoned ÷ answered by a human."""


def derive(sums: Sums) -> Metrics:
    """The ratios of these sums."""
    return Metrics(
        asr=_ratio(sums.answered, sums.attempts),
        live_answer_rate=_ratio(sums.answered_by_human, sums.attempts),
        contact_rate=_ratio(sums.leads_reached, sums.leads),
        penetration=_ratio(sums.leads_tried, sums.leads),
        saturation=_ratio(sums.attempts, sums.leads),
        acd=_ratio(sums.seconds, sums.answered),
        aht=_ratio(sums.seconds + sums.hold_seconds + sums.wrap_seconds, sums.handled),
        conversion_per_attempt=_ratio(sums.conversions, sums.attempts),
        conversion_per_contact=_ratio(sums.conversions, sums.answered_by_human),
        conversion_per_lead=_ratio(sums.conversions, sums.leads),
        attempts_per_lead=_ratio(sums.attempts, sums.leads_tried),
        calls_per_hour=_ratio(sums.attempts, sums.open_window_hours),
        cost_per_conversion=_ratio(float(sums.price), sums.conversions),
        abandon_rate=_ratio(sums.abandoned, sums.answered_by_human),
    )


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def bucket_of(moment: datetime) -> datetime:
    """The start, in UTC, of the quarter of an hour that `moment` lies in."""
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)


def local_day_bounds(day: date, zone_name: str) -> tuple[datetime, datetime]:
    """[start, end) in UTC of a day of the zone: 24 hours, or what a change of the clocks makes it.

    Raises ValidationError for a bad zone name.
    """
    place = zone(zone_name)
    return day_start(day, place), day_start(day + timedelta(days=1), place)
