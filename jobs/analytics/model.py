"""Reports as data: all figures of a campaign or a day, stored as JSON."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from pydantic import AwareDatetime

from jobs.rules.frozen import Frozen


class Sums(Frozen):
    """Sums and counts over some calls; sums of disjoint sets of calls can be added.

    Attributes:
        attempts: Calls placed.
        answered: Calls answered by a human or a machine.
        answered_by_human: Calls answered by a human.
        conversions: Calls that converted.
        seconds: Seconds of conversation.
        price: Sum of the prices, in one currency.
    """

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
    """Totals of a campaign, computed from its enrollments and calls.

    Attributes:
        leads: Leads in the list.
        leads_tried: Leads with at least one attempt.
        leads_reached: Leads with a call answered by a human.
        ended: Placed calls that have ended.
        sums: Sums over all calls.
    """

    leads: int
    leads_tried: int
    leads_reached: int
    ended: int
    sums: Sums


class Day(Frozen):
    """Sums of a local day in the report's time zone."""

    day: date
    sums: Sums


class Hour(Frozen):
    """Sums of an hour of the week, in the called party's local time.

    Attributes:
        weekday: 0 (Monday) to 6.
        hour: 0 to 23.
        sums: Sums over the calls.
    """

    weekday: int
    hour: int
    sums: Sums


class DailyReport(Frozen):
    """Report on all calls of a local day.

    Attributes:
        day: The local day.
        zone: IANA name of its time zone.
        made_at: Time of the report.
        campaigns: Sums by campaign id.
    """

    day: date
    zone: str
    made_at: AwareDatetime
    campaigns: dict[UUID, Sums]


class Value(Frozen):
    """Figures of the leads with one value in a column.

    Attributes:
        value: The value; "" for leads without one.
        leads: Leads with the value.
        attempts: Calls placed to these leads.
        conversions: Calls to these leads that converted.
        seconds: Seconds of conversation with these leads.
    """

    value: str
    leads: int
    attempts: int
    conversions: int
    seconds: int


class Report(Frozen):
    """Report on a campaign.

    Attributes:
        campaign_id: Id of the campaign.
        campaign: Name of the campaign.
        status: Status of the campaign.
        zone: IANA name of the time zone of `days`.
        made_at: Time of the report.
        started_at: Start of the campaign.
        ended_at: End of the campaign.
        totals: Totals of the campaign.
        metrics: Ratios by name, as in `jobs.rules.metrics.Metrics`; None for a zero denominator.
        enrolments: Leads by status of their enrollment.
        calls: Calls by status, including calls that were never placed.
        dispositions: Ended calls by disposition.
        days: Sums by local day.
        hours: Sums by hour of the week.
        attempts_without_zone: Attempts that are in no hour: the lead's time zone is unknown.
        breakdowns: Figures by value, for each column of the leads.
        columns_left_out: Columns without a breakdown, since they have too many different values.
    """

    campaign_id: UUID
    campaign: str
    status: str
    zone: str
    made_at: AwareDatetime
    started_at: datetime | None
    ended_at: datetime | None
    totals: Totals
    metrics: dict[str, float | None]
    enrolments: dict[str, int]
    calls: dict[str, int]
    dispositions: dict[str, int]
    days: tuple[Day, ...]
    hours: tuple[Hour, ...]
    attempts_without_zone: int
    breakdowns: dict[str, tuple[Value, ...]]
    columns_left_out: tuple[str, ...] = ()
