"""Reports on campaigns, and on all calls of a day."""

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
from jobs.rules.zones import load_zone
from jobs.store.model import Bucket, Campaign, CampaignTotals
from jobs.store.protocol import Work

K = TypeVar("K", bound=Hashable)
S = TypeVar("S", bound=StrEnum)

LEAD_COLUMNS: Final = ("status", "temperature", "source", "state", "timezone")
"""Columns of the leads with a breakdown, besides their attributes."""
MAX_VALUES: Final = 20_000
"""Maximum number of values in a breakdown; a column with more is left out."""
LATE_EVENT_PERIOD: Final = timedelta(days=2)
"""Time after the end of a campaign during which late events may still change its figures."""
BACKFILL_DAYS: Final = 7
"""Days, including yesterday, whose missing reports a daily run makes up."""


@job("analytics.report", timeout=300)
@retry()
async def report_campaign(ctx: JobContext, campaign_id: UUID, zone: str = "UTC") -> str:
    """Bring the rollup up to date, and store a campaign's report.

    Args:
        ctx: Job context.
        campaign_id: The campaign.
        zone: IANA name of the time zone of the report's days.

    Returns:
        Name of the stored report.

    Raises:
        NotFoundError: The campaign does not exist.
        ValidationError: The time zone does not exist.
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
    """Enqueue `analytics.report` for all campaigns that are active or ended recently.

    Args:
        ctx: Job context.
        zone: IANA name of the time zone of the reports' days.

    Returns:
        Count of enqueued reports.
    """
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        campaigns = [
            campaign
            for status in CampaignStatus
            for campaign in await work.campaigns.with_status(status)
        ]
        ids = [campaign.id for campaign in campaigns if _may_change(campaign, now)]
        for campaign_id in ids:
            work.enqueue("analytics.report", campaign_id, zone=zone)
    return len(ids)


def _may_change(campaign: Campaign, now: datetime) -> bool:
    if campaign.started_at is None:
        return False
    return campaign.ended_at is None or campaign.ended_at >= now - LATE_EVENT_PERIOD


@job("analytics.report_day", timeout=300)
@retry()
async def report_day(ctx: JobContext, day: date | None = None, zone: str = "UTC") -> str:
    """Bring the rollup up to date, and store the report on all calls of a local day.

    Args:
        ctx: Job context.
        day: Local day of `zone`. None means yesterday, and also makes up missing reports of the
            days before, within BACKFILL_DAYS.
        zone: IANA name of the time zone.

    Returns:
        Name of the stored report.

    Raises:
        ValidationError: The time zone does not exist.
    """
    await roll_up(ctx["store"])
    now = ctx["clock"].now()
    yesterday = now.astimezone(load_zone(zone)).date() - timedelta(days=1)
    async with ctx["store"].begin() as work:
        if day is None:
            # The earliest first: two jobs then write the reports that they share in one order.
            for days in reversed(range(1, BACKFILL_DAYS)):
                earlier = yesterday - timedelta(days=days)
                if await work.analytics.report(_day_name(earlier, zone)) is None:
                    await _save_day(work, earlier, zone, now)
        return await _save_day(work, day or yesterday, zone, now)


async def _save_day(work: Work, day: date, zone: str, now: datetime) -> str:
    buckets = await work.analytics.buckets(None, *metrics.local_day_bounds(day, zone))
    sums = _sum_by(buckets, lambda bucket: bucket.key.campaign_id)
    report = DailyReport(day=day, zone=zone, made_at=now, campaigns=sums)
    name = _day_name(day, zone)
    await work.analytics.save_report(name, report.model_dump(mode="json"), now)
    return name


def _day_name(day: date, zone: str) -> str:
    return f"day:{zone}:{day}"


async def build_report(
    work: Work, campaign_id: UUID, now: datetime, *, zone: str = "UTC"
) -> Report:
    """Compute a campaign's report from its enrollments, calls and rollup buckets.

    Args:
        work: Transaction to read in.
        campaign_id: The campaign.
        now: Time of the report, timezone-aware.
        zone: IANA name of the time zone of the report's days.

    Raises:
        NotFoundError: The campaign does not exist.
        ValidationError: The time zone does not exist.
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
        metrics=asdict(
            metrics.derive(_metric_sums(totals, open_hours(buckets, campaign.policy.windows)))
        ),
        enrolments=_by_name(totals.enrolments),
        calls=_by_name(totals.calls),
        dispositions=_by_name(totals.dispositions),
        days=_days(buckets, zone),
        hours=_hours(buckets),
        attempts_without_zone=sum(bucket.attempts for bucket in buckets if not bucket.key.zone),
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
        if len(rows) > MAX_VALUES:
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


def _metric_sums(totals: CampaignTotals, hours: float) -> metrics.Sums:
    # An AI agent never puts a person on hold, has no wrap-up work and is always available: each
    # answered call is handled, and no call is abandoned.
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
    """Return the hours in which the calling window was open in at least one called zone.

    Args:
        buckets: Buckets of the campaign; the first and last bound the period.
        windows: Calling windows of the campaign.
    """
    if not buckets:
        return 0
    zones = sorted({bucket.key.zone for bucket in buckets if bucket.key.zone})
    first = min(bucket.key.starts_at for bucket in buckets)
    last = max(bucket.key.starts_at for bucket in buckets)
    quarters = (last - first) // metrics.BUCKET + 1
    moments = (first + index * metrics.BUCKET for index in range(quarters))
    return sum(any(is_open(windows, [zone], None, at) for zone in zones) for at in moments) / 4


def _days(buckets: Iterable[Bucket], zone: str) -> tuple[Day, ...]:
    # Buckets are 15 minutes long, and midnight of every zone is the start of a bucket.
    local = load_zone(zone)
    by_day = _sum_by(buckets, lambda bucket: bucket.key.starts_at.astimezone(local).date())
    return tuple(Day(day=day, sums=sums) for day, sums in sorted(by_day.items()))


def _hours(buckets: Iterable[Bucket]) -> tuple[Hour, ...]:
    by_hour = _sum_by((bucket for bucket in buckets if bucket.key.zone), _hour_of_week)
    return tuple(
        Hour(weekday=weekday, hour=hour, sums=sums)
        for (weekday, hour), sums in sorted(by_hour.items())
    )


def _hour_of_week(bucket: Bucket) -> tuple[int, int]:
    local = bucket.key.starts_at.astimezone(load_zone(bucket.key.zone))
    return local.weekday(), local.hour


def _sum_by(buckets: Iterable[Bucket], key: Callable[[Bucket], K]) -> dict[K, Sums]:
    sums: defaultdict[K, Sums] = defaultdict(Sums)
    for bucket in buckets:
        sums[key(bucket)] += Sums.model_validate(bucket, from_attributes=True)
    return dict(sums)


def _by_name(counts: Mapping[S, int]) -> dict[str, int]:
    return {state.value: count for state, count in sorted(counts.items())}
