"""The steps of a campaign that a run of any kind shares, and the waiting for each."""

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
from jobs.demo.environment import Ground
from jobs.demo.invariants import Imported
from jobs.demo.scenario import Scenario
from jobs.engine import Pool, ScaledClock, create_pool
from jobs.errors import RinglineError
from jobs.rules.scoring import DEFAULT_RULES
from jobs.store.model import LeadFilter
from jobs.store.postgres.store import PostgresStore
from jobs.voice import Simulator, serve

POLL: Final = 0.25
PATIENCE: Final = 60.0
"""Seconds without any progress after which a run is given up."""
TAG: Final = "Demo"


class DemoError(RinglineError):
    """The run cannot go on."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the steps of a run share.

    out: the folder of the rejected rows. log: of the workers. watch: ends, with an error, if the
    workers cannot go on.
    """

    scenario: Scenario
    out: Path
    log: Path
    clock: ScaledClock
    pool: Pool
    store: PostgresStore
    provider: Simulator
    show: Display
    watch: "asyncio.Task[None]"


@asynccontextmanager
async def services(
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


async def import_leads(run: Run) -> Imported:
    scenario = run.scenario
    with run.show.stage("import") as stage:
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
    """Has the leads qualified and tagged, and enrols them in a campaign, which is then started.

    spread: the business time over which they become due, one after the other.
    """
    with run.show.stage("qualify") as stage:
        await run.pool.enqueue_job("lead.qualify_pending")
        await until(run, stage, leads, lambda: _qualified(run, leads))
    with run.show.stage("tag") as stage:
        async with run.store.begin() as work:
            ids = await work.leads.ids(LeadFilter())
            work.enqueue("lead.batch", "add_tags", ids, tags=[TAG])
        await until(run, stage, leads, lambda: _tagged(run))
    async with run.store.begin() as work:
        now = run.clock.now()
        scenario = run.scenario
        campaign = await work.campaigns.add("default", scenario.campaign, scenario.policy, now)
        await work.campaigns.enrol(campaign.id, LeadFilter(tags=frozenset({TAG.casefold()})), now)
        if spread:
            enrolled = await work.campaigns.due(campaign.id, now, leads)
            await work.campaigns.save_enrolments(
                [
                    replace(one, next_at=now + spread * number / leads)
                    for number, one in enumerate(enrolled)
                ]
            )
        work.enqueue("campaign.set_status", campaign.id, "start")
    return campaign.id


async def _qualified(run: Run, leads: int) -> int:
    async with run.store.begin() as work:
        return leads - len(await work.leads.pending_qualification(DEFAULT_RULES.version, leads))


async def _tagged(run: Run) -> int:
    async with run.store.begin() as work:
        return len(await work.leads.ids(LeadFilter(tags=frozenset({TAG.casefold()}))))


async def job_result(run: Run, name: str, *args: Any, **kwargs: Any) -> Any:
    """Enqueues a job and waits for what it answers."""
    job = await run.pool.enqueue_job(name, *args, **kwargs)
    if job is None:
        raise DemoError(f"{name} was not enqueued")
    result = asyncio.create_task(job.result())
    try:
        done, _ = await asyncio.wait({result, run.watch}, return_when=asyncio.FIRST_COMPLETED)
        if run.watch in done:
            run.watch.result()
        return await result
    finally:
        result.cancel()
        await asyncio.wait([result])


async def until(run: Run, stage: Stage, total: int, done: Callable[[], Awaitable[int]]) -> None:
    """Waits until `done` has reached `total`."""

    async def look() -> int:
        reached = await done()
        stage.update(reached, total)
        return reached

    await progress(run, look, lambda reached: reached >= total)


async def progress(
    run: Run, look: Callable[[], Awaitable[int]], enough: Callable[[int], bool]
) -> None:
    """Looks again and again until it is enough. Raises DemoError when nothing moves any more."""
    last, moved = None, time.monotonic()
    while not enough(reached := await look()):
        if reached != last:
            last, moved = reached, time.monotonic()
        elif time.monotonic() - moved > PATIENCE:
            raise DemoError(f"nothing has moved for {PATIENCE:g} s; {run.log} may say why")
        if run.watch.done():
            run.watch.result()
        await asyncio.sleep(POLL)
