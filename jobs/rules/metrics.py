"""Call metrics: ratios derived from sums and counts.

Only sums and counts are stored. A ratio with a zero denominator is None, never 0.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from jobs.rules.localtime import day_start
from jobs.rules.zones import load_zone

BUCKET: Final = timedelta(minutes=15)
"""Length of a rollup bucket. Some UTC offsets are multiples of 15 minutes, so hours do not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums and counts over some calls and leads; unknown values stay 0.

    Sums of several buckets can be added, except the three counts of leads: a lead may be counted
    in more than one bucket.

    Attributes:
        attempts: Calls placed.
        answered: Calls answered by a human or a machine.
        answered_by_human: Calls answered by a human.
        abandoned: Calls answered by a human and not connected to an agent or a voice.
        conversions: Calls that converted.
        seconds: Seconds of conversation.
        hold_seconds: Seconds on hold.
        wrap_seconds: Seconds of work after the call.
        handled: Calls included in `seconds`, `hold_seconds` and `wrap_seconds`.
        price: Sum of the prices, in one currency.
        leads: Leads in the list.
        leads_tried: Leads with at least one attempt.
        leads_reached: Leads with a call answered by a human.
        open_window_hours: Hours in which the calling window was open.
    """

    attempts: int = 0
    answered: int = 0
    answered_by_human: int = 0
    abandoned: int = 0
    conversions: int = 0
    seconds: int = 0
    hold_seconds: int = 0
    wrap_seconds: int = 0
    handled: int = 0
    price: Decimal = Decimal(0)
    leads: int = 0
    leads_tried: int = 0
    leads_reached: int = 0
    open_window_hours: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Ratios of a set of calls, as defined in the call center industry.

    Attributes:
        asr: Answer-seizure ratio, also called connect rate: answered ÷ attempts.
        live_answer_rate: Answered by a human ÷ attempts.
        contact_rate: Leads reached by a human ÷ leads in the list.
        penetration: Leads tried at least once ÷ leads.
        saturation: Attempts ÷ leads.
        acd: Average call duration in seconds: answered seconds ÷ answered.
        aht: Average handle time in seconds: (talk + hold + wrap) ÷ handled.
        conversion_per_attempt: Conversions ÷ attempts.
        conversion_per_contact: Conversions ÷ calls answered by a human.
        conversion_per_lead: Conversions ÷ leads.
        attempts_per_lead: Attempts ÷ leads tried.
        calls_per_hour: Attempts ÷ hours in which the window was open.
        cost_per_conversion: Price ÷ conversions, in the currency of the prices.
        abandon_rate: Abandoned ÷ answered by a human.
    """

    asr: float | None
    live_answer_rate: float | None
    contact_rate: float | None
    penetration: float | None
    saturation: float | None
    acd: float | None
    aht: float | None
    conversion_per_attempt: float | None
    conversion_per_contact: float | None
    conversion_per_lead: float | None
    attempts_per_lead: float | None
    calls_per_hour: float | None
    cost_per_conversion: float | None
    abandon_rate: float | None


def derive(sums: Sums) -> Metrics:
    """Return the metrics derived from sums; the formulas are those of `Metrics`."""
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
    """Return the start, in UTC, of the 15-minute bucket that contains a moment."""
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute - utc.minute % 15, second=0, microsecond=0)


def local_day_bounds(day: date, zone_name: str) -> tuple[datetime, datetime]:
    """Return the start and end of a local day as a half-open interval in UTC.

    The day has 24 hours unless the clocks change on it.

    Args:
        day: The local day.
        zone_name: IANA name of the time zone.

    Raises:
        ValidationError: The time zone does not exist.
    """
    place = load_zone(zone_name)
    return day_start(day, place), day_start(day + timedelta(days=1), place)
