"""A run from the lead file to the report. All that happens to leads and calls is done by jobs, in
worker processes; this process asks for it, waits, and hosts the voice provider."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from jobs.analytics.model import Report
from jobs.analytics.render import write_report
from jobs.demo.console import Display
from jobs.demo.environment import own_ground
from jobs.demo.invariants import Entry, Facts, Imported, entries
from jobs.demo.scenario import Scenario
from jobs.demo.steps import (
    PATIENCE,
    DemoError,
    Run,
    import_leads,
    job_result,
    prepare,
    progress,
    services,
)
from jobs.demo.workers import workers
from jobs.engine import DeadLetter, DeadLetterStore, ScaledClock
from jobs.engine.queue.inspection import left_behind
from jobs.rules.states import CAMPAIGN, ENROLMENT, CampaignStatus
from jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """out: the folder of the report, of the rejected rows, and of the workers' logs."""

    out: Path
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. seconds: of dialling, and of all of it, in real time."""

    report: Report
    books: list[Entry]
    dead: list[DeadLetter]
    dialling: float
    total: float

    @property
    def balances(self) -> bool:
        return all(entry.balances for entry in self.books)


async def play(scenario: Scenario, settings: Settings, options: Options, show: Display) -> Result:
    """Plays the scenario on a ground of its own. Raises RinglineError when it cannot go on."""
    started = time.monotonic()
    async with own_ground(settings) as ground:
        clock = ScaledClock(scenario.start, scenario.rate, time.time())
        async with services(ground, clock, scenario) as (pool, store, provider):
            environment = ground.environment(clock, options.out / "recordings")
            log = options.out / "workers.log"
            async with workers(options.workers, environment, log) as watch:
                run = Run(scenario, options.out, log, clock, pool, store, provider, show, watch)
                imported = await import_leads(run)
                campaign_id = await prepare(run, imported.stored)
                dialling = await _dial(run, campaign_id)
                report = await _report(run, campaign_id)
            return await _result(run, imported, campaign_id, report, dialling, started)


async def _dial(run: Run, campaign_id: UUID) -> float:
    """Waits for the campaign's end and until all that follows from it is done; answers the real
    seconds that it took."""
    started = time.monotonic()
    with run.show.stage("dial") as stage:
        total = 0

        async def ended() -> int:
            nonlocal total
            async with run.store.begin() as work:
                enrolled = await work.campaigns.progress(campaign_id)
                campaign = await work.campaigns.get(campaign_id)
            total = sum(enrolled.values())
            over = sum(n for status, n in enrolled.items() if ENROLMENT.is_terminal(status))
            calls = (await run.provider.records()).accepted
            rate = calls / max(time.monotonic() - started, 0.001)
            stage.update(over, total, f"{calls:,} calls, {rate:,.0f}/s")
            if campaign.status is CampaignStatus.PAUSED:
                raise DemoError("the breaker paused the campaign: too many carrier failures")
            # Not over before the campaign says so, which is after the last of its leads.
            return over + CAMPAIGN.is_terminal(campaign.status)

        await progress(run, ended, lambda over: over > total)
        async with _patience():
            await run.provider.idle.wait()
        await _drain(run)
    return time.monotonic() - started


async def _drain(run: Run) -> None:
    """Waits until no job is left but those of the schedules."""

    async def settled() -> int:
        waiting = await left_behind(run.pool, run.pool.queues.all())
        return -len(waiting) - await run.store.outbox_size()

    await progress(run, settled, lambda left: left == 0)


async def _report(run: Run, campaign_id: UUID) -> Report:
    with run.show.stage("report"):
        name = await job_result(run, "analytics.report", campaign_id=str(campaign_id))
        async with run.store.begin() as work:
            stored = await work.analytics.report(name)
        if stored is None:
            raise DemoError(f"the report {name} was not stored")
        report = Report.model_validate(stored)
        await asyncio.to_thread(write_report, report, run.out)
        await _drain(run)
    return report


async def _result(
    run: Run,
    imported: Imported,
    campaign_id: UUID,
    report: Report,
    dialling: float,
    started: float,
) -> Result:
    """Closes the books; the workers are gone by now, so nothing moves any more."""
    dead = await DeadLetterStore(run.pool).find()
    async with run.store.begin() as work:
        campaign = await work.campaigns.get(campaign_id)
        facts = Facts(
            imported=imported,
            status=campaign.status,
            retries=campaign.policy.retries,
            totals=await work.analytics.totals(campaign_id),
            histories=await work.analytics.histories(campaign_id),
            provider=await run.provider.records(),
            report=report,
            left=await left_behind(run.pool, run.pool.queues.all()),
            outbox=await run.store.outbox_size(),
            dead=dead,
            file=run.scenario.sums,
        )
    total = time.monotonic() - started
    return Result(report, entries(facts), dead, dialling, total)


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise DemoError(f"calls still go on after {PATIENCE:g} s") from None
