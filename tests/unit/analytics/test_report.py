"""Rollups and reports follow the calls, however late they change."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from jobs.analytics import rollup
from jobs.analytics.invariants import check_invariants
from jobs.analytics.model import DailyReport, Report
from jobs.analytics.report import (
    build_report,
    open_hours,
    report_campaign,
    report_campaigns,
    report_day,
)
from jobs.analytics.rollup import roll_up
from jobs.context import JobContext
from jobs.engine import find_job
from jobs.errors import NotFoundError, ValidationError
from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CallStatus, CampaignStatus
from jobs.rules.windows import DEFAULT_WINDOWS
from jobs.store.memory import MemoryStore
from jobs.store.model import Bucket, BucketKey, Call, LeadFilter, NewCall, NewLead
from jobs.testing.clock import FrozenClock

MONDAY = datetime(2026, 3, 2, 17, 50, tzinfo=UTC)
"""12:50 in New York, 18:50 in Paris, 23:35 in Kathmandu."""
LEADS = (
    NewLead("+12125550101", timezone="America/New_York", attributes={"job": "clerk", "age": 30}),
    NewLead("+12125550102", timezone="Europe/Paris", attributes={"job": "clerk"}),
    NewLead("+12125550103", timezone="Asia/Kathmandu", attributes={"job": "nurse", "age": 40}),
    NewLead("+12125550104", attributes={"job": "nurse"}),
)


@dataclass
class Campaign:
    """Campaign of four leads in four time zones, with methods that add calls."""

    store: MemoryStore
    clock: FrozenClock
    id: UUID
    ctx: JobContext

    async def call(self, lead: int, at: datetime = MONDAY, **columns: Any) -> UUID:
        """Add a call to a lead of LEADS, unanswered unless `columns` differ."""
        call_id = uuid4()
        async with self.store.begin() as work:
            row = await work.leads.find("default", LEADS[lead].e164)
            assert row is not None
            (enrollment,) = await work.campaigns.enrolments_of(row.id)
            number = enrollment.calls + 1
            await work.campaigns.save_enrolments([replace(enrollment, calls=number)])
            new = NewCall(
                id=call_id,
                tenant="default",
                campaign_id=self.id,
                enrolment_id=enrollment.id,
                lead_id=row.id,
                number=number,
                scheduled_for=at,
                zone=row.timezone or "",
            )
            await work.calls.add([new], at)
        ended = {
            "status": CallStatus.NO_ANSWER,
            "disposition": Disposition.NO_ANSWER,
            "dialed_at": at,
            "provider_id": str(call_id),
            "ended_at": at + timedelta(minutes=1),
        }
        await self.change(call_id, **{**ended, **columns})
        return call_id

    async def change(self, call_id: UUID, **columns: Any) -> None:
        async with self.store.begin() as work:
            call: Call = replace(await work.calls.get(call_id), **columns)
            await work.calls.save([call])

    async def report(self, zone: str = "UTC") -> Report:
        async with self.store.begin() as work:
            return await build_report(work, self.id, self.clock.now(), zone=zone)


ANSWERED: dict[str, Any] = {
    "status": CallStatus.COMPLETED,
    "disposition": Disposition.ANSWERED,
    "answered_at": MONDAY,
    "answered_by": AnsweredBy.HUMAN,
    "duration": 120,
    "price": Decimal("0.5"),
}
CONVERTED: dict[str, Any] = {**ANSWERED, "outcome": CallOutcome.CONVERTED}
VOICEMAIL: dict[str, Any] = {
    **ANSWERED,
    "disposition": Disposition.VOICEMAIL,
    "answered_by": AnsweredBy.MACHINE_START,
    "duration": 10,
}


@pytest.fixture
async def campaign() -> Campaign:
    clock = FrozenClock(MONDAY + timedelta(hours=12))
    store = MemoryStore(clock=clock)
    async with store.begin() as work:
        await work.leads.add(LEADS, MONDAY)
        made = await work.campaigns.add("default", "spring", CampaignPolicy(), MONDAY)
        await work.campaigns.enrol(made.id, LeadFilter(), MONDAY)
    return Campaign(store, clock, made.id, cast("JobContext", {"store": store, "clock": clock}))


async def add_calls(campaign: Campaign) -> None:
    """Add five calls: two answered by a human, of which one converts, and one by a machine."""
    await campaign.call(0)
    await campaign.call(0, MONDAY + timedelta(hours=1), **CONVERTED)
    await campaign.call(1, **ANSWERED)
    await campaign.call(2, **VOICEMAIL)
    await campaign.call(3)
    await roll_up(campaign.store)


async def test_report_has_the_figures_of_the_calls(campaign: Campaign) -> None:
    await add_calls(campaign)
    report = await campaign.report()
    totals = report.totals
    assert (totals.leads, totals.leads_tried, totals.leads_reached, totals.ended) == (4, 4, 2, 5)
    sums = totals.sums
    assert (sums.attempts, sums.answered, sums.answered_by_human) == (5, 3, 2)
    assert (sums.conversions, sums.seconds, sums.price) == (1, 250, Decimal("1.5"))
    assert report.metrics["asr"] == 3 / 5
    assert report.metrics["contact_rate"] == 2 / 4
    assert report.metrics["acd"] == 250 / 3
    assert report.metrics["cost_per_conversion"] == 1.5
    assert report.metrics["conversion_per_lead"] == 1 / 4
    assert report.metrics["abandon_rate"] == 0
    assert report.dispositions == {"answered": 2, "no_answer": 2, "voicemail": 1}
    assert check_invariants(report) == []


async def test_report_without_calls_has_no_ratios(campaign: Campaign) -> None:
    await roll_up(campaign.store)
    report = await campaign.report()
    assert report.metrics["asr"] is None
    assert report.metrics["penetration"] == 0
    assert (report.days, report.hours) == ((), ())
    assert check_invariants(report) == []


async def test_breakdowns_have_every_value_of_every_column(campaign: Campaign) -> None:
    await add_calls(campaign)
    report = await campaign.report()
    jobs = {row.value: row for row in report.breakdowns["job"]}
    assert (jobs["clerk"].leads, jobs["clerk"].attempts) == (2, 3)
    assert (jobs["clerk"].conversions, jobs["clerk"].seconds) == (1, 240)
    assert (jobs["nurse"].leads, jobs["nurse"].attempts, jobs["nurse"].seconds) == (2, 2, 10)
    assert {row.value: row.leads for row in report.breakdowns["age"]} == {"": 2, "30": 1, "40": 1}
    assert {row.value for row in report.breakdowns["status"]} == {"new"}


async def test_hours_are_in_the_called_partys_time_zone(campaign: Campaign) -> None:
    await add_calls(campaign)
    report = await campaign.report()
    hours = {(item.weekday, item.hour): item.sums.attempts for item in report.hours}
    assert hours == {(0, 12): 1, (0, 13): 1, (0, 18): 1, (0, 23): 1}
    assert report.attempts_without_zone == 1


async def test_days_are_in_the_reports_time_zone(campaign: Campaign) -> None:
    await add_calls(campaign)
    utc, kathmandu = await campaign.report(), await campaign.report("Asia/Kathmandu")
    assert {item.day: item.sums.attempts for item in utc.days} == {date(2026, 3, 2): 5}
    assert {item.day: item.sums.attempts for item in kathmandu.days} == {
        date(2026, 3, 2): 4,
        date(2026, 3, 3): 1,
    }
    with pytest.raises(ValidationError, match="time zone"):
        await campaign.report("Mars/Olympus")


async def test_report_round_trips_through_json(campaign: Campaign) -> None:
    await add_calls(campaign)
    report = await campaign.report()
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert Report.model_validate(report.model_dump(mode="json")) == report


async def test_late_and_repeated_changes_give_the_same_figures(campaign: Campaign) -> None:
    await add_calls(campaign)
    call_id = await campaign.call(3, status=CallStatus.QUEUED, disposition=None, ended_at=None)
    await roll_up(campaign.store)
    await campaign.change(call_id, **CONVERTED)
    stale = await campaign.report()
    assert "conversions: 2 by calls, but 1 by rollup" in check_invariants(stale)
    await roll_up(campaign.store)
    await roll_up(campaign.store)
    report = await campaign.report()
    assert check_invariants(report) == []
    assert (report.totals.sums.attempts, report.totals.sums.conversions) == (6, 2)


async def test_many_buckets_are_rolled_up_in_chunks(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "BUCKETS_PER_TRANSACTION", 2)
    for quarter in range(7):
        await campaign.call(0, MONDAY + quarter * timedelta(minutes=15))
    assert await roll_up(campaign.store) == 7
    assert check_invariants(await campaign.report()) == []


async def test_invariants_detect_disagreeing_figures(campaign: Campaign) -> None:
    await add_calls(campaign)
    report = await campaign.report()
    assert not check_invariants(report)
    fewer = report.model_copy(update={"days": report.days[1:]})
    assert any("attempts" in line for line in check_invariants(fewer))
    lost = report.model_copy(update={"enrolments": {"done": 3}})
    assert check_invariants(lost) == ["leads: 4 in the list, but 3 by enrollment status"]
    values = {**report.breakdowns, "job": report.breakdowns["job"][1:]}
    assert any(
        "of job" in line
        for line in check_invariants(report.model_copy(update={"breakdowns": values}))
    )
    hours = report.model_copy(update={"attempts_without_zone": 0})
    assert check_invariants(hours) == ["attempts: 5 by day, but 4 by hour"]


async def test_column_with_too_many_values_is_left_out(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.analytics.report.MAX_VALUES", 2)
    report = await campaign.report()
    assert report.columns_left_out == ("timezone", "age")
    assert "job" in report.breakdowns


async def test_open_hours_count_if_any_called_zone_is_open() -> None:
    def bucket(at: datetime, zone: str) -> Bucket:
        return Bucket(BucketKey(uuid4(), at, zone), 1, 0, 0, 0, 0, 0, Decimal(0))

    early = datetime(2026, 3, 2, 7, tzinfo=UTC)
    late = datetime(2026, 3, 2, 23, 45, tzinfo=UTC)
    paris = [bucket(early, "Europe/Paris"), bucket(late, "Europe/Paris")]
    assert open_hours(paris, DEFAULT_WINDOWS) == 13
    both = [*paris, bucket(late, "America/New_York")]
    assert open_hours(both, DEFAULT_WINDOWS) == 17
    assert open_hours([bucket(early, "")], DEFAULT_WINDOWS) == 0
    assert open_hours([], DEFAULT_WINDOWS) == 0


# Jobs


async def test_campaign_report_is_rolled_up_and_stored(campaign: Campaign) -> None:
    await campaign.call(0, **CONVERTED)
    name = await report_campaign(campaign.ctx, campaign.id)
    async with campaign.store.begin() as work:
        stored = await work.analytics.report(name)
    report = Report.model_validate(stored)
    assert report.totals.sums.conversions == 1
    assert check_invariants(report) == []
    with pytest.raises(NotFoundError):
        await report_campaign(campaign.ctx, uuid4())


async def test_daily_report_covers_yesterday_in_its_time_zone(campaign: Campaign) -> None:
    await add_calls(campaign)
    assert await report_day(campaign.ctx) == "day:UTC:2026-03-02"
    assert await report_day(campaign.ctx, zone="America/Los_Angeles") == (
        "day:America/Los_Angeles:2026-03-01"
    )
    name = await report_day(campaign.ctx, date(2026, 3, 3), "Asia/Kathmandu")
    async with campaign.store.begin() as work:
        report = DailyReport.model_validate(await work.analytics.report(name))
        utc = DailyReport.model_validate(await work.analytics.report("day:UTC:2026-03-02"))
    assert report.campaigns[campaign.id].attempts == 1
    assert utc.campaigns[campaign.id].attempts == 5


async def test_missing_daily_report_is_made_up_within_a_week(campaign: Campaign) -> None:
    await add_calls(campaign)
    campaign.clock.advance(timedelta(days=3))
    assert await report_day(campaign.ctx) == "day:UTC:2026-03-05"
    async with campaign.store.begin() as work:
        stored = await work.analytics.report("day:UTC:2026-03-02")
        assert await work.analytics.report("day:UTC:2026-02-26") is None
    assert DailyReport.model_validate(stored).campaigns[campaign.id].attempts == 5
    campaign.clock.advance(timedelta(hours=1))
    await report_day(campaign.ctx)
    async with campaign.store.begin() as work:
        assert await work.analytics.report("day:UTC:2026-03-02") == stored


async def test_active_and_recently_ended_campaigns_are_reported(campaign: Campaign) -> None:
    assert await report_campaigns(campaign.ctx) == 0
    async with campaign.store.begin() as work:
        draft = await work.campaigns.get(campaign.id)
        running = replace(draft, status=CampaignStatus.RUNNING, started_at=MONDAY)
        await work.campaigns.save(running)
    assert await report_campaigns(campaign.ctx) == 1
    (job,) = campaign.store.enqueued
    definition = find_job(job.function)
    assert definition is not None
    definition.check(job.args, job.kwargs)
    assert job.args == (campaign.id,)
    async with campaign.store.begin() as work:
        current = await work.campaigns.get(campaign.id)
        ended = replace(current, status=CampaignStatus.COMPLETED, ended_at=campaign.clock.now())
        await work.campaigns.save(ended)
    assert await report_campaigns(campaign.ctx) == 1
    campaign.clock.advance(timedelta(days=3))
    assert await report_campaigns(campaign.ctx) == 0
