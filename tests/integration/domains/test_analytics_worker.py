"""Campaign reports on PostgreSQL agree with the calls that jobs made."""

from datetime import timedelta

import asyncpg

from jobs.analytics.invariants import check_invariants
from jobs.analytics.model import Report
from jobs.analytics.report import report_campaign, report_day
from jobs.store.model import NewLead
from jobs.voice.simulator.script import answered, unanswered
from tests.integration.domains.flow import NOON, Flow, open_flow

SCRIPTS = {
    "+12125550101": [answered(90, "converted")],
    "+12125550102": [answered(30, "not_interested")],
    "+12125550103": [unanswered("busy", 486)],
}
LEADS = [
    NewLead(number, timezone="America/New_York", attributes={"job": job, "age": 30})
    for number, job in zip(SCRIPTS, ("clerk", "nurse", "clerk"), strict=True)
]


async def dial(flow: Flow) -> None:
    """Call all three leads, at the default pace."""
    await flow.schedule()
    for _ in SCRIPTS:
        await flow.pass_time(minutes=3)


async def report_of(flow: Flow) -> Report:
    name = await report_campaign(flow.ctx, flow.campaign_id)
    async with flow.store.begin() as work:
        return Report.model_validate(await work.analytics.report(name))


async def test_report_agrees_with_the_calls(database_url: str) -> None:
    async with open_flow(database_url, scripts=SCRIPTS, leads=LEADS) as flow:
        await dial(flow)
        report = await report_of(flow)
        assert check_invariants(report) == []
        sums = report.totals.sums
        assert (sums.attempts, sums.answered_by_human, sums.conversions) == (3, 2, 1)
        assert sums.seconds == 120
        clerks = {row.value: row for row in report.breakdowns["job"]}["clerk"]
        assert (clerks.leads, clerks.attempts, clerks.conversions, clerks.seconds) == (2, 2, 1, 90)
        (hour,) = report.hours
        assert (hour.weekday, hour.hour) == (2, 12)
        assert report.attempts_without_zone == 0
        assert await report_day(flow.ctx, NOON.date()) == f"day:UTC:{NOON.date()}"
        flow.clock.advance(timedelta(hours=1))
        assert await report_of(flow) == report.model_copy(update={"made_at": flow.clock.now()})


async def test_deleted_call_is_missing_in_every_figure(database_url: str) -> None:
    async with open_flow(database_url, scripts=SCRIPTS, leads=LEADS) as flow:
        await dial(flow)
        assert check_invariants(await report_of(flow)) == []
        connection = await asyncpg.connect(database_url)
        await connection.execute("DELETE FROM calls WHERE outcome = 'converted'")
        await connection.close()

        report = await report_of(flow)
        sums = report.totals.sums
        assert (sums.attempts, sums.conversions, sums.seconds) == (2, 0, 30)
        clerks = {row.value: row for row in report.breakdowns["job"]}["clerk"]
        assert (clerks.leads, clerks.attempts, clerks.conversions, clerks.seconds) == (2, 1, 0, 0)
        assert check_invariants(report) == []
