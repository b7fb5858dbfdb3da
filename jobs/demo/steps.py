"""Steps of a campaign shared by the demo and `jobs.chaos`, and waiting for each step."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from jobs.demo.console import Display, Stage
from jobs.demo.environment import Environment
from jobs.demo.invariants import Imported
from jobs.demo.scenario import Scenario
from jobs.engine import Pool, ScaledClock, create_pool
from jobs.errors import RinglineError
from jobs.rules.scoring import DEFAULT_RULES
from jobs.store.model import LeadFilter
from jobs.store.postgres.store import PostgresStore
from jobs.voice import Simulator, serve

POLL_INTERVAL: Final = 0.25
STALL_TIMEOUT: Final = 60.0
"""Seconds without progress after which a run fails."""
TAG: Final = "Demo"


class DemoError(RinglineError):
    """The run cannot continue."""


@dataclass(frozen=True, slots=True)
class Run:
    """Resources shared by the steps of a run.

    Attributes:
        scenario: Input of the run.
        out: Folder for the rejected rows and the report.
        log: Log file of the workers.
        clock: Business clock.
        pool: Redis pool.
        store: Database.
        provider: Simulated voice provider, hosted by this process.
        display: Progress display.
        workers: Task that ends, with an error, only if the workers cannot go on.
    """

    scenario: Scenario
    out: Path
    log: Path
    clock: ScaledClock
    pool: Pool
    store: PostgresStore
    provider: Simulator
    display: Display
    workers: "asyncio.Task[None]"


@asynccontextmanager
async def open_resources(
    environment: Environment, clock: ScaledClock, scenario: Scenario
) -> AsyncIterator[tuple[Pool, PostgresStore, Simulator]]:
    """Open the pool and the store, and serve the simulated provider on its socket.

    Args:
        environment: Databases and folder of the run.
        clock: Business clock.
        scenario: Input of the run.

    Returns:
        A context manager with the pool, the store and the provider.
    """
    pool = await create_pool(environment.redis_url, clock=clock)
    try:
        store = await PostgresStore.open(
            environment.database_url, publish=pool.enqueue_many, clock=clock, pool_size=2
        )
        try:
            provider = Simulator(
                scenario.plan, clock, seed=scenario.seed, disorder=scenario.disorder
            )
            try:
                async with serve(provider, environment.socket):
                    yield pool, store, provider
            finally:
                await provider.close()
        finally:
            await store.close()
    finally:
        await pool.aclose()


async def import_leads(run: Run) -> Imported:
    """Import the scenario's lead file through a job.

    Args:
        run: Resources of the run.

    Returns:
        Counts of the import.

    Raises:
        DemoError: The job was not enqueued.
    """
    scenario = run.scenario
    with run.display.stage("import") as stage:
        stage.update(0, scenario.rows)
        report = await job_result(
            run,
            "lead.import",
            str(scenario.leads.absolute()),
            timezone=scenario.zone,
            rejects=str((run.out / "rejects.csv").absolute()),
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


async def prepare(run: Run, leads: int, spread: timedelta = timedelta()) -> UUID:
    """Qualify and tag the leads through jobs, enroll them in a campaign, and start it.

    Args:
        run: Resources of the run.
        leads: Number of imported leads.
        spread: Business time over which the leads become due, one after the other.

    Returns:
        Id of the campaign.

    Raises:
        DemoError: A step makes no progress.
    """
    with run.display.stage("qualify") as stage:
        await run.pool.enqueue_job("lead.qualify_pending")
        await wait_for_total(run, stage, leads, lambda: _count_qualified(run, leads))
    with run.display.stage("tag") as stage:
        async with run.store.begin() as work:
            ids = await work.leads.ids(LeadFilter())
            work.enqueue("lead.batch", "add_tags", ids, tags=[TAG])
        await wait_for_total(run, stage, leads, lambda: _count_tagged(run))
    async with run.store.begin() as work:
        now = run.clock.now()
        scenario = run.scenario
        campaign = await work.campaigns.add("default", scenario.campaign, scenario.policy, now)
        await work.campaigns.enrol(campaign.id, LeadFilter(tags=frozenset({TAG.casefold()})), now)
        if spread:
            enrolled = await work.campaigns.due(campaign.id, now, leads)
            await work.campaigns.save_enrolments(
                [
                    replace(enrolment, next_at=now + spread * number / leads)
                    for number, enrolment in enumerate(enrolled)
                ]
            )
        work.enqueue("campaign.set_status", campaign.id, "start")
    return campaign.id


async def _count_qualified(run: Run, leads: int) -> int:
    async with run.store.begin() as work:
        return leads - len(await work.leads.pending_qualification(DEFAULT_RULES.version, leads))


async def _count_tagged(run: Run) -> int:
    async with run.store.begin() as work:
        return len(await work.leads.ids(LeadFilter(tags=frozenset({TAG.casefold()}))))


async def job_result(run: Run, name: str, *args: Any, **kwargs: Any) -> Any:
    """Enqueue a job and wait for its result.

    Args:
        run: Resources of the run.
        name: Name of the job.
        args: Positional arguments of the job.
        kwargs: Keyword arguments of the job.

    Returns:
        The job's return value.

    Raises:
        DemoError: The job was not enqueued.
        ServerError: The workers cannot go on.
    """
    job = await run.pool.enqueue_job(name, *args, **kwargs)
    if job is None:
        raise DemoError(f"{name} was not enqueued")
    result = asyncio.create_task(job.result())
    try:
        done, _ = await asyncio.wait({result, run.workers}, return_when=asyncio.FIRST_COMPLETED)
        if run.workers in done:
            run.workers.result()
        return await result
    finally:
        result.cancel()
        await asyncio.wait([result])


async def wait_for_total(
    run: Run, stage: Stage, total: int, count: Callable[[], Awaitable[int]]
) -> None:
    """Wait until a count reaches a total, and show the progress.

    Args:
        run: Resources of the run.
        stage: Stage to update.
        total: Count to wait for.
        count: Reads the current count.

    Raises:
        DemoError: The count does not change for `STALL_TIMEOUT` seconds.
    """

    async def read() -> int:
        reached = await count()
        stage.update(reached, total)
        return reached

    await wait_for(run, read, lambda reached: reached >= total)


async def wait_for(
    run: Run, read: Callable[[], Awaitable[int]], is_done: Callable[[int], bool]
) -> None:
    """Poll a value until it meets a condition.

    Args:
        run: Resources of the run.
        read: Reads the current value.
        is_done: Condition on the value.

    Raises:
        DemoError: The value does not change for `STALL_TIMEOUT` seconds.
        ServerError: The workers cannot go on.
    """
    last, changed_at = None, time.monotonic()
    while not is_done(value := await read()):
        if value != last:
            last, changed_at = value, time.monotonic()
        elif time.monotonic() - changed_at > STALL_TIMEOUT:
            raise DemoError(f"no progress for {STALL_TIMEOUT:g} s: see {run.log}")
        if run.workers.done():
            run.workers.result()
        await asyncio.sleep(POLL_INTERVAL)
