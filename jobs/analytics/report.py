"""Reports of campaigns, and of all calls of a day."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from jobs.analytics.model import DailyReport, Day, Hour, Report, Sums, Totals, Value
from jobs.analytics.rollup import roll_up
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules import metrics
from jobs.rules.states import CampaignStatus
from jobs.rules.windows import WindowRules, is_open
from jobs.rules.zones import zone as zone_info
from jobs.store.model import Bucket, Campaign, CampaignTotals
from jobs.store.protocol import Work

K = TypeVar("K", bound=Hashable)
S = TypeVar("S", bound=StrEnum)

LEAD_COLUMNS: Final = ("status", "temperature", "source", "state", "timezone")
"""The leads' own columns that a report breaks down, besides their attributes."""
MOST_VALUES: Final = 20_000
"""A column with more values tells leads apart rather than groups them."""
LATE_EVENTS: Final = timedelta(days=2)
"""For so long after its end a campaign's figures may still change."""
DAYS_MADE_UP_FOR: Final = 7
"""A day whose report was lost gets one for so long, yesterday included."""


@job("analytics.report", timeout=300)
@retry()
async def report_campaign(ctx: JobContext, campaign_id: UUID, zone: str = "UTC") -> str:
    """Brings the figures up to date and stores the campaign's report; answers the report's name.

    zone: whose local days the report has. Raises NotFoundError.
    """
    await roll_up(ctx["store"])
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        report = await build_report(work, campaign_id, now, zone=zone)
        name = f"campaign:{campaign_id}"
        await work.analytics.save_report(name, report.model_dump(mode="json"), now)
    return name


@job("analytics.report_campaigns", timeout=300)
@retry()
async def report_campaigns(ctx: JobContext, zone: str = "UTC") -> int:
    """Has the report of every campaign made that is at work, or was until lately; answers how
    many."""
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        campaigns = [
            one for state in CampaignStatus for one in await work.campaigns.with_status(state)
        ]
        at_work = [one.id for one in campaigns if _figures_may_change(one, now)]
        for campaign_id in at_work:
            work.enqueue("analytics.report", campaign_id, zone=zone)
    return len(at_work)


def _figures_may_change(campaign: Campaign, now: datetime) -> bool:
    if campaign.started_at is None:
        return False
    return campaign.ended_at is None or campaign.ended_at >= now - LATE_EVENTS


@job("analytics.report_day", timeout=300)
@retry()
async def report_day(ctx: JobContext, day: date | None = None, zone: str = "UTC") -> str:
    """Brings the figures up to date and stores those of all calls of a local day; answers the
    report's name.

    day: of `zone`. Unless it is named, it is yesterday, and earlier days of the last week that
    have no report get theirs too. Raises ValidationError for a zone that does not exist.
    """
    await roll_up(ctx["store"])
    now = ctx["clock"].now()
    yesterday = now.astimezone(zone_info(zone)).date() - timedelta(days=1)
    async with ctx["store"].begin() as work:
        if day is None:
            # The earliest first: two jobs then write the reports that they share in one order.
            for days in reversed(range(1, DAYS_MADE_UP_FOR)):
                earlier = yesterday - timedelta(days=days)
                if await work.analytics.report(_day_name(earlier, zone)) is None:
                    await _save_day(work, earlier, zone, now)
        return await _save_day(work, day or yesterday, zone, now)


async def _save_day(work: Work, day: date, zone: str, now: datetime) -> str:
    buckets = await work.analytics.buckets(None, *metrics.local_day_bounds(day, zone))
    sums = _summed(buckets, lambda one: one.key.campaign_id)
    report = DailyReport(day=day, zone=zone, made_at=now, campaigns=sums)
    name = _day_name(day, zone)
    await work.analytics.save_report(name, report.model_dump(mode="json"), now)
    return name


def _day_name(day: date, zone: str) -> str:
    return f"day:{zone}:{day}"


async def build_report(
    work: Work, campaign_id: UUID, now: datetime, *, zone: str = "UTC"
) -> Report:
    """A campaign's report, computed from enrolments, calls and rolled-up buckets.

    zone: whose local days the report has. Raises NotFoundError, and ValidationError for a zone
    that does not exist.
    """
    campaign = await work.campaigns.get(campaign_id)
    totals = await work.analytics.totals(campaign_id)
    buckets = await work.analytics.buckets(campaign_id, None, None)
    breakdowns, left_out = await _breakdowns(work, campaign_id)
    return Report(
        campaign_id=campaign_id,
        campaign=campaign.name,
        status=campaign.status,
        zone=zone,
        made_at=now,
        started_at=campaign.started_at,
        ended_at=campaign.ended_at,
        totals=_totals(totals),
        metrics=asdict(metrics.derive(_sums(totals, open_hours(buckets, campaign.policy.windows)))),
        enrolments=_sorted(totals.enrolments),
        calls=_sorted(totals.calls),
        dispositions=_sorted(totals.dispositions),
        days=_days(buckets, zone),
        hours=_hours(buckets),
        attempts_without_zone=sum(one.attempts for one in buckets if not one.key.zone),
        breakdowns=breakdowns,
        columns_left_out=left_out,
    )


async def _breakdowns(
    work: Work, campaign_id: UUID
) -> tuple[dict[str, tuple[Value, ...]], tuple[str, ...]]:
    breakdowns, left_out = {}, []
    columns = await work.analytics.columns(campaign_id)
    for column in dict.fromkeys([*LEAD_COLUMNS, *columns]):
        rows = await work.analytics.breakdown(campaign_id, column)
        if len(rows) > MOST_VALUES:
            left_out.append(column)
        else:
            breakdowns[column] = tuple(Value(**row._asdict()) for row in rows)
    return breakdowns, tuple(left_out)


def _totals(totals: CampaignTotals) -> Totals:
    return Totals(
        leads=totals.leads,
        leads_tried=totals.leads_tried,
        leads_reached=totals.leads_reached,
        ended=totals.ended,
        sums=Sums.model_validate(totals, from_attributes=True),
    )


def _sums(totals: CampaignTotals, hours: float) -> metrics.Sums:
    # An AI agent holds nobody, has no work after a call and is always there: each answered call
    # is handled, and none abandoned.
    return metrics.Sums(
        attempts=totals.attempts,
        answered=totals.answered,
        answered_by_human=totals.answered_by_human,
        conversions=totals.conversions,
        seconds=totals.seconds,
        handled=totals.answered,
        price=totals.price,
        leads=totals.leads,
        leads_tried=totals.leads_tried,
        leads_reached=totals.leads_reached,
        open_window_hours=hours,
    )


def open_hours(buckets: Collection[Bucket], windows: WindowRules) -> float:
    """The hours, from the first call to the last, in which one of the called zones was open."""
    if not buckets:
        return 0
    zones = sorted({one.key.zone for one in buckets if one.key.zone})
    first = min(one.key.starts_at for one in buckets)
    last = max(one.key.starts_at for one in buckets)
    quarters = (last - first) // metrics.BUCKET + 1
    moments = (first + number * metrics.BUCKET for number in range(quarters))
    return sum(any(is_open(windows, [z], None, at) for z in zones) for at in moments) / 4


def _days(buckets: Iterable[Bucket], zone: str) -> tuple[Day, ...]:
    # A bucket is a quarter of an hour, and every zone's midnight falls on one.
    local = zone_info(zone)
    by_day = _summed(buckets, lambda one: one.key.starts_at.astimezone(local).date())
    return tuple(Day(day=day, sums=sums) for day, sums in sorted(by_day.items()))


def _hours(buckets: Iterable[Bucket]) -> tuple[Hour, ...]:
    by_hour = _summed((one for one in buckets if one.key.zone), _hour_of_week)
    return tuple(
        Hour(weekday=weekday, hour=hour, sums=sums)
        for (weekday, hour), sums in sorted(by_hour.items())
    )


def _hour_of_week(bucket: Bucket) -> tuple[int, int]:
    local = bucket.key.starts_at.astimezone(zone_info(bucket.key.zone))
    return local.weekday(), local.hour


def _summed(buckets: Iterable[Bucket], key: Callable[[Bucket], K]) -> dict[K, Sums]:
    sums: defaultdict[K, Sums] = defaultdict(Sums)
    for bucket in buckets:
        sums[key(bucket)] += Sums.model_validate(bucket, from_attributes=True)
    return dict(sums)


def _sorted(counts: Mapping[S, int]) -> dict[str, int]:
    return {state.value: count for state, count in sorted(counts.items())}
