"""A run: a campaign begins, things go wrong, everything settles, and the books are closed."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from uuid import UUID

from jobs.chaos.console import Display
from jobs.chaos.faults import Injector
from jobs.chaos.invariants import Facts, entries
from jobs.chaos.recovery import Recoveries
from jobs.chaos.report import Report, figures
from jobs.chaos.schedule import LEASE, WORKERS, Peer, Schedule
from jobs.chaos.servers import OwnServers, own_servers
from jobs.chaos.workers import Fleet, Worker, links_of, running
from jobs.chaos.workload import RATE, TRANSIENT_ERRORS, Nurse, Scripts, scenario, spread
from jobs.demo.environment import Ground
from jobs.demo.steps import Run, import_leads, prepare, services
from jobs.demo.workers import logging_to
from jobs.embedded import postgres_server, redis_server
from jobs.engine import DeadLetterStore, ScaledClock, read_stats
from jobs.engine.monitoring.aof_ledger import read_ledger
from jobs.engine.queue.inspection import left_behind
from jobs.rules.states import CAMPAIGN, ENROLMENT
from jobs.store.postgres import migrate

POLL: Final = 0.5
PATIENCE: Final = 60.0
"""Seconds without any progress after which the books are closed as they are."""
NUDGE_EVERY: Final = 5.0
"""Seconds between two searches for what was lost, so that nobody waits for the schedules."""
SETTINGS: Final = {
    "TASK_DEFAULT_RETRY_DELAY": "0.5",
    "TASK_MAX_RETRIES": "7",
    "TASK_SHUTDOWN_GRACE": "3",
    "LOG_LEVEL": "WARNING",
}
"""A minute of retries, as an outage lasts for seconds here."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a run takes place. environment: of a process that is on no bad network."""

    servers: OwnServers
    run: Run
    fleet: Fleet
    show: Display
    environment: dict[str, str]
    output: IO[bytes]


async def play(schedule: Schedule, show: Display, log: Path | None = None) -> Report:
    """Plays the schedule on servers of its own. log: a file for what the workers say."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ringline-") as name:
        folder = Path(name)
        async with _stage(schedule, folder, show, log or folder / "workers.log") as stage:
            run = stage.run
            imported = await import_leads(run)
            campaign_id = await prepare(run, imported.stored, spread(schedule.seconds))
            nurse = Nurse(run.pool, run.store, campaign_id)
            tending = asyncio.create_task(nurse.tend())
            scripts = Scripts(run.pool, schedule.seed)
            recoveries = Recoveries(run.pool)
            injector = _injector(stage, recoveries)
            try:
                await _faults(stage, schedule, injector, scripts, campaign_id)
                unsettled = await _settle(stage, campaign_id)
            finally:
                tending.cancel()
            await stage.fleet.stop()
            facts = await _facts(
                stage, schedule, imported.stored, campaign_id, scripts, recoveries, unsettled
            )
            return Report(
                schedule=schedule,
                seconds=time.monotonic() - started,
                spans=injector.spans,
                figures=figures(facts, nurse.resumed),
                recoveries=recoveries.seen,
                books=entries(facts),
            )


@asynccontextmanager
async def _stage(
    schedule: Schedule, folder: Path, show: Display, log: Path
) -> AsyncIterator[Stage]:
    async with own_servers(folder / "servers") as servers:
        await migrate.upgrade_async(servers.database_url)
        ground = Ground(servers.redis_url, servers.database_url, folder)
        played = scenario(folder, schedule.seed, schedule.seconds)
        clock = ScaledClock(played.start, RATE, time.time())
        recordings = folder / "recordings"
        async with services(ground, clock, played) as (pool, store, provider):
            with logging_to(log) as output:
                workers = []
                for number in range(WORKERS):
                    own = _own_network(ground, number)
                    environment = own.environment(clock, recordings, LEASE) | SETTINGS
                    links = links_of(own.folder, _targets(servers, ground))
                    workers.append(Worker(number, environment, links, output))
                environment = ground.environment(clock, recordings, LEASE) | SETTINGS
                async with running(workers) as fleet:
                    run = Run(played, folder, log, clock, pool, store, provider, show, fleet.watch)
                    yield Stage(servers, run, fleet, show, environment, output)


def _own_network(ground: Ground, number: int) -> Ground:
    """What a worker sees of the ground: all of it through sockets of its own."""
    folder = ground.folder / f"worker-{number}"
    folder.mkdir()
    return Ground(redis_server.url(folder), postgres_server.url(folder), folder)


def _targets(servers: OwnServers, ground: Ground) -> dict[Peer, Path]:
    return {
        Peer.REDIS: servers.redis_socket,
        Peer.POSTGRES: servers.postgres_socket,
        Peer.PROVIDER: ground.socket,
    }


def _injector(stage: Stage, recoveries: Recoveries) -> Injector:
    return Injector(
        servers=stage.servers,
        fleet=stage.fleet,
        provider=stage.run.provider,
        pool=stage.run.pool,
        recoveries=recoveries,
        stock_environment=stage.environment,
        output=stage.output,
    )


async def _faults(
    stage: Stage, schedule: Schedule, injector: Injector, scripts: Scripts, campaign_id: UUID
) -> None:
    """Plays the faults, while a campaign is dialled and scripted jobs are enqueued."""
    for worker in stage.fleet.workers:
        await worker.up()
    stage.show.begin()
    beside = [
        asyncio.create_task(scripts.produce()),
        asyncio.create_task(_tell(stage, campaign_id)),
    ]
    try:
        await injector.play(schedule, stage.show.fault)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)


async def _tell(stage: Stage, campaign_id: UUID) -> None:
    while True:
        with suppress(*TRANSIENT_ERRORS):
            stage.show.state((await _state(stage, campaign_id)).text)
        await asyncio.sleep(POLL)


@dataclass(frozen=True, slots=True)
class State:
    """How far a run is. ended: the campaign. The others count what is still to come."""

    ended: bool
    calls: int
    leads: int
    in_flight: int
    jobs: int
    outbox: int
    callbacks: bool

    @property
    def settled(self) -> bool:
        open_ = self.leads + self.in_flight + self.jobs + self.outbox
        return self.ended and not open_ and not self.callbacks

    @property
    def text(self) -> str:
        return (
            f"{self.calls:,} calls taken, {self.leads:,} leads to go, {self.in_flight:,} calls in "
            f"flight, {self.jobs:,} jobs, {self.outbox:,} in the outbox"
        )


async def _state(stage: Stage, campaign_id: UUID) -> State:
    run = stage.run
    async with run.store.begin() as work:
        campaign = await work.campaigns.get(campaign_id)
        progress = await work.campaigns.progress(campaign_id)
        in_flight = await work.calls.in_flight(campaign_id)
    return State(
        ended=CAMPAIGN.is_terminal(campaign.status),
        calls=(await run.provider.records()).accepted,
        leads=sum(n for status, n in progress.items() if not ENROLMENT.is_terminal(status)),
        in_flight=in_flight,
        jobs=len(await left_behind(run.pool, run.pool.queues.all())),
        outbox=await run.store.outbox_size(),
        callbacks=not run.provider.idle.is_set(),
    )


async def _settle(stage: Stage, campaign_id: UUID) -> str:
    """Waits until nothing is left to do; else answers, when nothing moves any more, what is."""
    stage.show.say("the faults are over, and everything settles")
    last, moved, nudged = None, time.monotonic(), 0.0
    while True:
        with suppress(*TRANSIENT_ERRORS):
            state = await _state(stage, campaign_id)
            if state.settled:
                stage.show.say(f"settled: {state.text}")
                return ""
            stage.show.state(state.text)
            if state != last:
                last, moved = state, time.monotonic()
            if time.monotonic() - nudged > NUDGE_EVERY:
                nudged = time.monotonic()
                await stage.run.pool.enqueue_job("default.relay_outbox")
                await stage.run.pool.enqueue_job("call.reconcile")
        if time.monotonic() - moved > PATIENCE:
            return last.text if last is not None else "no answer from the servers"
        await asyncio.sleep(POLL)


async def _facts(
    stage: Stage,
    schedule: Schedule,
    leads: int,
    campaign_id: UUID,
    scripts: Scripts,
    recoveries: Recoveries,
    unsettled: str,
) -> Facts:
    """What is left when the workers are gone, and nothing moves any more."""
    run = stage.run
    accepted = run.provider.accepted_keys
    results = await run.pool.all_job_results()
    async with run.store.begin() as work:
        campaign = await work.campaigns.get(campaign_id)
        known = {
            call.id for call in await work.calls.get_many(accepted) if call.provider_id is not None
        }
        return Facts(
            unsettled=unsettled,
            leads=leads,
            status=campaign.status,
            retries=campaign.policy.retries,
            totals=await work.analytics.totals(campaign_id),
            histories=await work.analytics.histories(campaign_id),
            provider=await run.provider.records(),
            unlinked=[str(call_id) for call_id in accepted - known],
            in_flight=await work.calls.in_flight(campaign_id),
            left=await left_behind(run.pool, run.pool.queues.all()),
            outbox=await run.store.outbox_size(),
            scripts=scripts.expected,
            succeeded=frozenset(str(one.job_id) for one in results if one.success),
            dead={one.job_id: one.error_class for one in await DeadLetterStore(run.pool).find()},
            bereft=recoveries.bereft,
            unasked=stage.fleet.unasked,
            stubborn=stage.fleet.stubborn,
            counted=await _counted(run),
            ledger=None if schedule.flush else read_ledger(stage.servers.journal),
        )


async def _counted(run: Run) -> int:
    """Jobs that ended, as the workers counted them."""
    stats = [await read_stats(run.pool, queue) for queue in run.pool.queues.all()]
    return sum(one.done + one.dead + one.discarded + one.aborted for one in stats)
