"""A run from the lead file to the report. All that happens to leads and calls is done by jobs, in
worker processes; this process asks for it, waits, and hosts the voice provider."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from jobs.analytics.model import Report
from jobs.analytics.render import write_report
from jobs.demo.books import Entry, Facts, Imported, entries
from jobs.demo.console import Display, Stage
from jobs.demo.ground import Ground, own_ground
from jobs.demo.scenario import Scenario
from jobs.demo.workers import workers
from jobs.engine import DeadLetter, DeadLetters, Pool, ScaledClock, create_pool
from jobs.engine.leftovers import left_behind
from jobs.errors import RinglineError
from jobs.rules.scoring import DEFAULT_RULES
from jobs.rules.states import CAMPAIGN, ENROLMENT, CampaignStatus
from jobs.store.model import LeadFilter
from jobs.store.postgres import PostgresStore
from jobs.voice import Simulator, serve
from settings import Settings

POLL: Final = 0.25
PATIENCE: Final = 60.0
"""Seconds without any progress after which a run is given up."""
TAG: Final = "Demo"


class DemoError(RinglineError):
    """The run cannot go on."""


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


@dataclass(frozen=True, slots=True)
class Run:
    """What the steps of a run share."""

    scenario: Scenario
    options: Options
    clock: ScaledClock
    pool: Pool
    store: PostgresStore
    provider: Simulator
    show: Display
    watch: "asyncio.Task[None]"


async def play(scenario: Scenario, settings: Settings, options: Options, show: Display) -> Result:
    """Plays the scenario on a ground of its own. Raises RinglineError when it cannot go on."""
    started = time.monotonic()
    async with own_ground(settings) as ground:
        clock = ScaledClock(scenario.start, scenario.rate, time.time())
        async with _services(ground, clock, scenario) as (pool, store, provider):
            environment = ground.environment(clock, options.out / "recordings")
            log = options.out / "workers.log"
            async with workers(options.workers, environment, log) as watch:
                run = Run(scenario, options, clock, pool, store, provider, show, watch)
                imported = await _import(run)
                campaign_id = await _prepare(run, imported.stored)
                dialling = await _dial(run, campaign_id)
                report = await _report(run, campaign_id)
            return await _result(run, imported, campaign_id, report, dialling, started)


@asynccontextmanager
async def _services(
    ground: Ground, clock: ScaledClock, scenario: Scenario
) -> AsyncIterator[tuple[Pool, PostgresStore, Simulator]]:
    pool = await create_pool(ground.redis_url, clock=clock)
    try:
        store = await PostgresStore.open(
            ground.database_url, publish=pool.enqueue_many, clock=clock, pool_size=2
        )
        try:
            provider = Simulator(
                scenario.plan, clock, seed=scenario.seed, disorder=scenario.disorder
            )
            try:
                async with serve(provider, ground.socket):
                    yield pool, store, provider
            finally:
                await provider.close()
        finally:
            await store.close()
    finally:
        await pool.aclose()


async def _import(run: Run) -> Imported:
    scenario = run.scenario
    with run.show.stage("import") as stage:
        stage.update(0, scenario.rows)
        report = await _job_result(
            run,
            "lead.import",
            str(scenario.leads.absolute()),
            timezone=scenario.zone,
            rejects=str((run.options.out / "rejects.csv").absolute()),
        )
        async with run.store.begin() as work:
            stored = len(await work.leads.ids(LeadFilter()))
        rows, rejected = int(report["read"]), int(report["rejected"])
        stage.update(rows, scenario.rows, f"{stored:,} leads, {rejected:,} rejected")
    return Imported(
        rows=scenario.rows,
        expected=scenario.usable,
        stored=stored,
        duplicates=rows - rejected - stored,
        rejected=rejected,
    )


async def _prepare(run: Run, leads: int) -> UUID:
    """Has the leads qualified and tagged, and enrols them in a campaign, which is then started."""
    with run.show.stage("qualify") as stage:
        await run.pool.enqueue_job("lead.qualify_pending")
        await _until(run, stage, leads, lambda: _qualified(run, leads))
    with run.show.stage("tag") as stage:
        async with run.store.begin() as work:
            ids = await work.leads.ids(LeadFilter())
            work.enqueue("lead.batch", "add_tags", ids, tags=[TAG])
        await _until(run, stage, leads, lambda: _tagged(run))
    async with run.store.begin() as work:
        now = run.clock.now()
        scenario = run.scenario
        campaign = await work.campaigns.add("default", scenario.campaign, scenario.policy, now)
        await work.campaigns.enrol(campaign.id, LeadFilter(tags=frozenset({TAG.casefold()})), now)
        work.enqueue("campaign.set_status", campaign.id, "start")
    return campaign.id


async def _qualified(run: Run, leads: int) -> int:
    async with run.store.begin() as work:
        return leads - len(await work.leads.pending_qualification(DEFAULT_RULES.version, leads))


async def _tagged(run: Run) -> int:
    async with run.store.begin() as work:
        return len(await work.leads.ids(LeadFilter(tags=frozenset({TAG.casefold()}))))


async def _dial(run: Run, campaign_id: UUID) -> float:
    """Waits for the campaign's end and until all that follows from it is done; answers the real
    seconds that it took."""
    started = time.monotonic()
    with run.show.stage("dial") as stage:
        total = 0

        async def ended() -> int:
            nonlocal total
            async with run.store.begin() as work:
                progress = await work.campaigns.progress(campaign_id)
                campaign = await work.campaigns.get(campaign_id)
            total = sum(progress.values())
            over = sum(n for status, n in progress.items() if ENROLMENT.is_terminal(status))
            calls = (await run.provider.books()).accepted
            rate = calls / max(time.monotonic() - started, 0.001)
            stage.update(over, total, f"{calls:,} calls, {rate:,.0f}/s")
            if campaign.status is CampaignStatus.PAUSED:
                raise DemoError("the breaker paused the campaign: too many carrier failures")
            # Not over before the campaign says so, which is after the last of its leads.
            return over + CAMPAIGN.is_terminal(campaign.status)

        await _progress(run, ended, lambda over: over > total)
        async with _patience(run):
            await run.provider.idle.wait()
        await _drain(run)
    return time.monotonic() - started


async def _drain(run: Run) -> None:
    """Waits until no job is left but those of the schedules."""

    async def settled() -> int:
        waiting = await left_behind(run.pool, run.pool.queues.all())
        return -len(waiting) - await run.store.outbox_size()

    await _progress(run, settled, lambda left: left == 0)


async def _report(run: Run, campaign_id: UUID) -> Report:
    with run.show.stage("report"):
        name = await _job_result(run, "analytics.report", campaign_id=str(campaign_id))
        async with run.store.begin() as work:
            stored = await work.analytics.report(name)
        if stored is None:
            raise DemoError(f"the report {name} was not stored")
        report = Report.model_validate(stored)
        await asyncio.to_thread(write_report, report, run.options.out)
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
    dead = await DeadLetters(run.pool).find()
    async with run.store.begin() as work:
        campaign = await work.campaigns.get(campaign_id)
        facts = Facts(
            imported=imported,
            status=campaign.status,
            retries=campaign.policy.retries,
            totals=await work.analytics.totals(campaign_id),
            histories=await work.analytics.histories(campaign_id),
            provider=await run.provider.books(),
            report=report,
            left=await left_behind(run.pool, run.pool.queues.all()),
            outbox=await run.store.outbox_size(),
            dead=dead,
            file=run.scenario.sums,
        )
    total = time.monotonic() - started
    return Result(report, entries(facts), dead, dialling, total)


async def _job_result(run: Run, name: str, *args: Any, **kwargs: Any) -> Any:
    """Enqueues a job and waits for what it answers."""
    job = await run.pool.enqueue_job(name, *args, **kwargs)
    if job is None:
        raise DemoError(f"{name} was not enqueued")
    result = asyncio.create_task(job.result())
    done, _ = await asyncio.wait({result, run.watch}, return_when=asyncio.FIRST_COMPLETED)
    if run.watch in done:
        result.cancel()
        run.watch.result()
    return await result


async def _until(run: Run, stage: Stage, total: int, done: Callable[[], Awaitable[int]]) -> None:
    """Waits until `done` has reached `total`."""

    async def look() -> int:
        reached = await done()
        stage.update(reached, total)
        return reached

    await _progress(run, look, lambda reached: reached >= total)


async def _progress(
    run: Run, look: Callable[[], Awaitable[int]], enough: Callable[[int], bool]
) -> None:
    """Looks again and again until it is enough. Raises DemoError when nothing moves any more."""
    last, moved = None, time.monotonic()
    while not enough(reached := await look()):
        if reached != last:
            last, moved = reached, time.monotonic()
        elif time.monotonic() - moved > PATIENCE:
            log = run.options.out / "workers.log"
            raise DemoError(f"nothing has moved for {PATIENCE:g} s; {log} may say why")
        if run.watch.done():
            run.watch.result()
        await asyncio.sleep(POLL)


@asynccontextmanager
async def _patience(run: Run) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise DemoError(f"calls still go on after {PATIENCE:g} s") from None
