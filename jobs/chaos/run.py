"""A chaos run: start a campaign, inject faults, let everything settle, check the invariants."""

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
from jobs.chaos.invariants import Facts, check_invariants
from jobs.chaos.recovery import RecoveryMonitor
from jobs.chaos.report import Report, figures
from jobs.chaos.schedule import LEASE, WORKERS, Peer, Schedule
from jobs.chaos.servers import TemporaryServers, temporary_servers
from jobs.chaos.workers import Fleet, Worker, make_links, run_workers
from jobs.chaos.workload import (
    RATE,
    TRANSIENT_ERRORS,
    Operator,
    ScriptedJobs,
    make_scenario,
    spread,
)
from jobs.demo.environment import Environment
from jobs.demo.steps import Run, import_leads, open_resources, prepare
from jobs.demo.workers import logging_to
from jobs.embedded import postgres_server, redis_server
from jobs.engine import DeadLetterStore, ScaledClock, read_stats
from jobs.engine.monitoring.aof_ledger import read_ledger
from jobs.engine.queue.inspection import left_behind
from jobs.rules.states import CAMPAIGN, ENROLMENT
from jobs.store.postgres import migrate

POLL_INTERVAL: Final = 0.5
STALL_TIMEOUT: Final = 60.0
"""Seconds without progress after which the run stops waiting and checks the invariants."""
RECONCILE_INTERVAL: Final = 5.0
"""Seconds between two reconciliations while the run settles, to shorten the wait for the crons."""
SETTINGS: Final = {
    "TASK_DEFAULT_RETRY_DELAY": "0.5",
    "TASK_MAX_RETRIES": "7",
    "TASK_SHUTDOWN_GRACE": "3",
    "LOG_LEVEL": "WARNING",
}
"""Settings of the workers. Their retries span a minute; an outage lasts only seconds."""


@dataclass(frozen=True, slots=True)
class Testbed:
    """Everything that a run works with.

    Attributes:
        servers: Temporary servers.
        run: Resources shared with the demo.
        fleet: The workers.
        display: Progress display.
        variables: Environment variables of a process whose network has no faults.
        output: Log file of the workers.
    """

    servers: TemporaryServers
    run: Run
    fleet: Fleet
    display: Display
    variables: dict[str, str]
    output: IO[bytes]


async def play(schedule: Schedule, display: Display, log: Path | None = None) -> Report:
    """Run a campaign under a fault schedule, on temporary servers.

    Args:
        schedule: The fault schedule.
        display: Progress display.
        log: File for the workers' logs; None discards them.

    Returns:
        The report of the run.

    Raises:
        RinglineError: The run cannot continue.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ringline-") as name:
        folder = Path(name)
        async with _testbed(schedule, folder, display, log or folder / "workers.log") as testbed:
            run = testbed.run
            imported = await import_leads(run)
            campaign_id = await prepare(run, imported.stored, spread(schedule.seconds))
            operator = Operator(run.pool, run.store, campaign_id)
            operating = asyncio.create_task(operator.run())
            scripted = ScriptedJobs(run.pool, schedule.seed)
            recoveries = RecoveryMonitor(run.pool)
            injector = _injector(testbed, recoveries)
            try:
                await _inject_faults(testbed, schedule, injector, scripted, campaign_id)
                unsettled = await _settle(testbed, campaign_id)
            finally:
                operating.cancel()
            await testbed.fleet.stop()
            facts = await _facts(
                testbed, schedule, imported.stored, campaign_id, scripted, recoveries, unsettled
            )
            return Report(
                schedule=schedule,
                seconds=time.monotonic() - started,
                spans=injector.spans,
                figures=figures(facts, operator.resumed),
                recoveries=recoveries.recoveries,
                invariants=check_invariants(facts),
            )


@asynccontextmanager
async def _testbed(
    schedule: Schedule, folder: Path, display: Display, log: Path
) -> AsyncIterator[Testbed]:
    async with temporary_servers(folder / "servers") as servers:
        await migrate.upgrade_async(servers.database_url)
        environment = Environment(servers.redis_url, servers.database_url, folder)
        scenario = make_scenario(folder, schedule.seed, schedule.seconds)
        clock = ScaledClock(scenario.start, RATE, time.time())
        recordings = folder / "recordings"
        async with open_resources(environment, clock, scenario) as (pool, store, provider):
            with logging_to(log) as output:
                workers = []
                for number in range(WORKERS):
                    proxied = _proxied_environment(environment, number)
                    variables = proxied.variables(clock, recordings, LEASE) | SETTINGS
                    links = make_links(proxied.folder, _sockets(servers, environment))
                    workers.append(Worker(number, variables, links, output))
                variables = environment.variables(clock, recordings, LEASE) | SETTINGS
                async with run_workers(workers) as fleet:
                    run = Run(
                        scenario, folder, log, clock, pool, store, provider, display, fleet.task
                    )
                    yield Testbed(servers, run, fleet, display, variables, output)


def _proxied_environment(environment: Environment, number: int) -> Environment:
    """Return the environment of one worker, which reaches its peers through its own proxies."""
    folder = environment.folder / f"worker-{number}"
    folder.mkdir()
    return Environment(redis_server.url(folder), postgres_server.url(folder), folder)


def _sockets(servers: TemporaryServers, environment: Environment) -> dict[Peer, Path]:
    return {
        Peer.REDIS: servers.redis_socket,
        Peer.POSTGRES: servers.postgres_socket,
        Peer.PROVIDER: environment.socket,
    }


def _injector(testbed: Testbed, recoveries: RecoveryMonitor) -> Injector:
    return Injector(
        servers=testbed.servers,
        fleet=testbed.fleet,
        provider=testbed.run.provider,
        pool=testbed.run.pool,
        recoveries=recoveries,
        arq_environment=testbed.variables,
        output=testbed.output,
    )


async def _inject_faults(
    testbed: Testbed,
    schedule: Schedule,
    injector: Injector,
    scripted: ScriptedJobs,
    campaign_id: UUID,
) -> None:
    """Inject the faults while the campaign dials and scripted jobs are enqueued."""
    for worker in testbed.fleet.workers:
        await worker.wait_until_up()
    testbed.display.start_clock()
    background = [
        asyncio.create_task(scripted.produce()),
        asyncio.create_task(_show_state(testbed, campaign_id)),
    ]
    try:
        await injector.play(schedule, testbed.display.show_fault)
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background)


async def _show_state(testbed: Testbed, campaign_id: UUID) -> None:
    while True:
        with suppress(*TRANSIENT_ERRORS):
            testbed.display.show_state((await _read_state(testbed, campaign_id)).text)
        await asyncio.sleep(POLL_INTERVAL)


@dataclass(frozen=True, slots=True)
class State:
    """Progress of a run.

    Attributes:
        ended: The campaign has ended.
        calls: Calls accepted by the provider.
        leads: Enrollments that have not ended.
        in_flight: Calls that occupy a line.
        jobs: Jobs that have not ended.
        outbox: Unpublished outbox rows.
        callbacks: The provider has calls or callbacks in progress.
    """

    ended: bool
    calls: int
    leads: int
    in_flight: int
    jobs: int
    outbox: int
    callbacks: bool

    @property
    def settled(self) -> bool:
        """True if nothing is left to do."""
        remaining = self.leads + self.in_flight + self.jobs + self.outbox
        return self.ended and not remaining and not self.callbacks

    @property
    def text(self) -> str:
        """Description in one line."""
        return (
            f"{self.calls:,} calls accepted, {self.leads:,} leads remaining, "
            f"{self.in_flight:,} calls in flight, {self.jobs:,} jobs, {self.outbox:,} outbox rows"
        )


async def _read_state(testbed: Testbed, campaign_id: UUID) -> State:
    run = testbed.run
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


async def _settle(testbed: Testbed, campaign_id: UUID) -> str:
    """Wait until nothing is left to do; return the remaining work if the run stalls."""
    display, pool = testbed.display, testbed.run.pool
    display.show("all faults are over; waiting for the run to settle")
    last, changed_at, reconciled_at = None, time.monotonic(), 0.0
    while True:
        with suppress(*TRANSIENT_ERRORS):
            state = await _read_state(testbed, campaign_id)
            if state.settled:
                display.show(f"settled: {state.text}")
                return ""
            display.show_state(state.text)
            if state != last:
                last, changed_at = state, time.monotonic()
            if time.monotonic() - reconciled_at > RECONCILE_INTERVAL:
                reconciled_at = time.monotonic()
                await pool.enqueue_job("default.relay_outbox")
                await pool.enqueue_job("call.reconcile")
        if time.monotonic() - changed_at > STALL_TIMEOUT:
            return last.text if last is not None else "the servers do not respond"
        await asyncio.sleep(POLL_INTERVAL)


async def _facts(
    testbed: Testbed,
    schedule: Schedule,
    leads: int,
    campaign_id: UUID,
    scripted: ScriptedJobs,
    recoveries: RecoveryMonitor,
    unsettled: str,
) -> Facts:
    """Collect the final state. The workers have stopped, so nothing changes any more."""
    run = testbed.run
    accepted = run.provider.accepted_keys
    results = await run.pool.all_job_results()
    letters = await DeadLetterStore(run.pool).find()
    async with run.store.begin() as work:
        campaign = await work.campaigns.get(campaign_id)
        linked = {
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
            unlinked=[str(call_id) for call_id in accepted - linked],
            in_flight=await work.calls.in_flight(campaign_id),
            unfinished=await left_behind(run.pool, run.pool.queues.all()),
            outbox=await run.store.outbox_size(),
            scripted=scripted.expected,
            succeeded=frozenset(str(result.job_id) for result in results if result.success),
            dead_letters={letter.job_id: letter.error_class for letter in letters},
            worker_losses=recoveries.worker_losses,
            unexpected_exits=testbed.fleet.unexpected_exits,
            ignored_stops=testbed.fleet.ignored_stops,
            counted=await _count_ended(run),
            ledger=None if schedule.flush else read_ledger(testbed.servers.aof_folder),
        )


async def _count_ended(run: Run) -> int:
    """Return the number of jobs that ended, by the workers' own counters."""
    stats = [await read_stats(run.pool, queue) for queue in run.pool.queues.all()]
    return sum(queue.done + queue.dead + queue.discarded + queue.aborted for queue in stats)
