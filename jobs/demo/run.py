"""A demo run from the lead file to the report.

Jobs in worker processes do all the work on leads and calls. This process enqueues them, waits,
and hosts the simulated voice provider.
"""

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
from jobs.demo.environment import temporary_environment
from jobs.demo.invariants import Facts, Imported, Invariant, check_invariants
from jobs.demo.scenario import Scenario
from jobs.demo.steps import (
    STALL_TIMEOUT,
    DemoError,
    Run,
    import_leads,
    job_result,
    open_resources,
    prepare,
    wait_for,
)
from jobs.demo.workers import workers
from jobs.engine import DeadLetter, DeadLetterStore, ScaledClock
from jobs.engine.queue.inspection import left_behind
from jobs.rules.states import CAMPAIGN, ENROLMENT, CampaignStatus
from jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run.

    Attributes:
        out: Folder for the report, the rejected rows and the workers' log.
        workers: Number of worker processes.
    """

    out: Path
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a run.

    Attributes:
        report: Report of the campaign.
        invariants: All invariants, violated or not.
        dead_letters: All dead letters.
        dialing_seconds: Real time from the campaign's start to its last follow-up job.
        total_seconds: Real time of the whole run.
    """

    report: Report
    invariants: list[Invariant]
    dead_letters: list[DeadLetter]
    dialing_seconds: float
    total_seconds: float

    @property
    def passed(self) -> bool:
        """True if all invariants hold."""
        return all(invariant.holds for invariant in self.invariants)


async def play(
    scenario: Scenario, settings: Settings, options: Options, display: Display
) -> Result:
    """Run a scenario in a temporary environment.

    Args:
        scenario: Input of the run.
        settings: Server URLs.
        options: Output folder and number of workers.
        display: Progress display.

    Returns:
        The result of the run.

    Raises:
        RinglineError: The run cannot continue.
    """
    started = time.monotonic()
    async with temporary_environment(settings) as environment:
        clock = ScaledClock(scenario.start, scenario.rate, time.time())
        async with open_resources(environment, clock, scenario) as (pool, store, provider):
            variables = environment.variables(clock, options.out / "recordings")
            log = options.out / "workers.log"
            async with workers(options.workers, variables, log) as task:
                run = Run(scenario, options.out, log, clock, pool, store, provider, display, task)
                imported = await import_leads(run)
                campaign_id = await prepare(run, imported.stored)
                dialing_seconds = await _dial(run, campaign_id)
                report = await _report(run, campaign_id)
            return await _result(run, imported, campaign_id, report, dialing_seconds, started)


async def _dial(run: Run, campaign_id: UUID) -> float:
    """Wait until the campaign and all follow-up jobs are done; return the real seconds."""
    started = time.monotonic()
    with run.display.stage("dial") as stage:
        total = 0

        async def count_done() -> int:
            nonlocal total
            async with run.store.begin() as work:
                enrolled = await work.campaigns.progress(campaign_id)
                campaign = await work.campaigns.get(campaign_id)
            total = sum(enrolled.values())
            ended = sum(n for status, n in enrolled.items() if ENROLMENT.is_terminal(status))
            calls = (await run.provider.records()).accepted
            rate = calls / max(time.monotonic() - started, 0.001)
            stage.update(ended, total, f"{calls:,} calls, {rate:,.0f}/s")
            if campaign.status is CampaignStatus.PAUSED:
                raise DemoError("the breaker paused the campaign: too many carrier failures")
            # The campaign itself counts too: it ends after the last of its leads.
            return ended + CAMPAIGN.is_terminal(campaign.status)

        await wait_for(run, count_done, lambda done: done > total)
        async with _stall_timeout():
            await run.provider.idle.wait()
        await _drain(run)
    return time.monotonic() - started


async def _drain(run: Run) -> None:
    """Wait until only scheduled jobs remain."""

    async def count_remaining() -> int:
        waiting = await left_behind(run.pool, run.pool.queues.all())
        return len(waiting) + await run.store.outbox_size()

    await wait_for(run, count_remaining, lambda remaining: remaining == 0)


async def _report(run: Run, campaign_id: UUID) -> Report:
    with run.display.stage("report"):
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
    dialing_seconds: float,
    started: float,
) -> Result:
    """Check the invariants. The workers have stopped, so the state is final."""
    dead_letters = await DeadLetterStore(run.pool).find()
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
            unfinished=await left_behind(run.pool, run.pool.queues.all()),
            outbox=await run.store.outbox_size(),
            dead_letters=dead_letters,
            dataset=run.scenario.sums,
        )
    total_seconds = time.monotonic() - started
    return Result(report, check_invariants(facts), dead_letters, dialing_seconds, total_seconds)


@asynccontextmanager
async def _stall_timeout() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(STALL_TIMEOUT):
            yield
    except TimeoutError:
        raise DemoError(f"calls are still in progress after {STALL_TIMEOUT:g} s") from None
