"""A report: every figure of a campaign, computed from rows; it survives a round trip as JSON."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and closed: an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sums(Frozen):
    """Sums and counts over some calls; they add up, ratios are derived from them."""

    attempts: int = 0
    answered: int = 0
    answered_by_human: int = 0
    conversions: int = 0
    seconds: int = 0
    price: Decimal = Decimal(0)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            attempts=self.attempts + other.attempts,
            answered=self.answered + other.answered,
            answered_by_human=self.answered_by_human + other.answered_by_human,
            conversions=self.conversions + other.conversions,
            seconds=self.seconds + other.seconds,
            price=self.price + other.price,
        )


class Totals(Frozen):
    """A campaign's figures, read from its enrolments and calls."""

    leads: int
    leads_tried: int
    leads_reached: int
    ended: int
    """Placed calls that have ended."""
    sums: Sums


class Day(Frozen):
    """A local day of the report's zone."""

    day: date
    sums: Sums


class Hour(Frozen):
    """An hour of the week, by the called party's clock. weekday: 0 is Monday."""

    weekday: int
    hour: int
    sums: Sums


class DailyReport(Frozen):
    """The calls of a local day, by the id of their campaign."""

    day: date
    zone: str
    made_at: AwareDatetime
    campaigns: dict[UUID, Sums]


class Value(Frozen):
    """A campaign's figures for one value of one column of its leads."""

    value: str
    leads: int
    attempts: int
    conversions: int
    seconds: int


class Report(Frozen):
    """A campaign's report. Ratios are None where their denominator is zero."""

    campaign_id: UUID
    campaign: str
    status: str
    zone: str
    """The IANA zone whose days the report has."""
    made_at: AwareDatetime
    started_at: datetime | None
    ended_at: datetime | None
    totals: Totals
    metrics: dict[str, float | None]
    """Named as in `jobs.rules.metrics`."""
    enrolments: dict[str, int]
    """Leads by the state of their enrolment."""
    calls: dict[str, int]
    """Calls by state, those that were never placed included."""
    dispositions: dict[str, int]
    days: tuple[Day, ...]
    hours: tuple[Hour, ...]
    attempts_without_zone: int
    """Attempts that are in no hour, since the lead's zone is not known."""
    breakdowns: dict[str, tuple[Value, ...]]
    """For every column of the leads, the figures of each of its values."""
    columns_left_out: tuple[str, ...] = ()
    """Columns with so many values that they tell leads apart rather than group them."""
