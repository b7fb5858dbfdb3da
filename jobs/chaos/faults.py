"""Injection of each kind of fault."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final

from jobs.chaos.proxies import State
from jobs.chaos.recovery import RecoveryMonitor, Span
from jobs.chaos.schedule import Fault, Kind, Peer, Schedule
from jobs.chaos.servers import TemporaryServers
from jobs.chaos.workers import STOP_TIMEOUT, Fleet, Worker
from jobs.chaos.workload import USUAL_DISORDER
from jobs.engine import Pool
from jobs.voice import Disorder, Simulator, Trouble

SLOW: Final = Trouble(slow=0.8, slow_seconds=1.0)
FAILING: Final = Trouble(refuse=0.4, wait=0.3, deaf=0.5, wait_seconds=1.0)
LYING: Final = Trouble(unanswered=0.4, dropped=0.2, deaf=0.3)
LYING_DISORDER: Final = Disorder(
    late=0.4, repeated=0.3, lost=0.3, shuffled=0.3, unnamed=0.1, contradicted=0.2, delay=1200
)
"""Disorder of a lying provider's callbacks."""
_LINK_STATES: Final[Mapping[Kind, State]] = {
    Kind.CUT: State.CUT,
    Kind.DELAY: State.UP,
    Kind.SILENCE: State.SILENT,
    Kind.HALF_OPEN: State.HALF_OPEN,
}


class Injector:
    """Injects the faults of a schedule.

    Args:
        servers: Servers to restart.
        fleet: Workers to kill, freeze, skew and redeploy.
        provider: Simulated voice provider.
        pool: Redis pool, to flush.
        recoveries: Monitor of the jobs of lost workers.
        arq_environment: Environment variables of an unmodified arq worker.
        output: Output of an unmodified arq worker.

    Attributes:
        spans: Actual time spans of the faults that are over.
    """

    def __init__(
        self,
        *,
        servers: TemporaryServers,
        fleet: Fleet,
        provider: Simulator,
        pool: Pool,
        recoveries: RecoveryMonitor,
        arq_environment: Mapping[str, str],
        output: IO[bytes],
    ) -> None:
        self.spans: list[Span] = []
        self._servers = servers
        self._fleet = fleet
        self._provider = provider
        self._pool = pool
        self._recoveries = recoveries
        self._arq_environment = arq_environment
        self._output = output

    async def play(self, schedule: Schedule, on_fault: Callable[[Fault], None]) -> None:
        """Inject all faults at their times; return when all are over.

        Args:
            schedule: The fault schedule.
            on_fault: Called when a fault starts.
        """
        async with asyncio.TaskGroup() as group:
            for fault in schedule.faults:
                group.create_task(self._inject_on_time(fault, on_fault))
            await asyncio.sleep(schedule.seconds)

    async def _inject_on_time(self, fault: Fault, on_fault: Callable[[Fault], None]) -> None:
        await asyncio.sleep(fault.at)
        on_fault(fault)
        started = time.monotonic()
        await self._inject(fault)
        self.spans.append(Span(fault, started, time.monotonic()))

    async def _inject(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL | Kind.FREEZE:
                await self._stop_worker(self._worker(fault), fault)
            case Kind.REDIS:
                await self._servers.restart_redis(fault.seconds)
            case Kind.FLUSH:
                await self._pool.flushall()
            case Kind.POSTGRES:
                await self._servers.restart_postgres(fault.seconds)
            case Kind.CUT | Kind.DELAY | Kind.SILENCE | Kind.HALF_OPEN:
                await self._disturb_network(fault)
            case Kind.SLOW | Kind.FAILING | Kind.LYING:
                await self._disturb_provider(fault)
            case Kind.SKEW:
                await self._skew_clock(self._worker(fault), fault)
            case Kind.ARQ:
                await self._run_arq_worker(fault.seconds)
            case Kind.DEPLOY:
                await self._fleet.deploy()

    def _worker(self, fault: Fault) -> Worker:
        assert fault.worker is not None  # noqa: S101  # the schedule sets it for these kinds
        return self._fleet.workers[fault.worker]

    async def _stop_worker(self, worker: Worker, fault: Fault) -> None:
        """Kill or freeze a worker, and monitor the recovery of its jobs."""
        worker_id = await self._recoveries.worker_id_of(worker.pid)
        async with asyncio.TaskGroup() as group:
            if fault.kind is Kind.KILL:
                group.create_task(worker.kill(fault.seconds))
            else:
                group.create_task(worker.freeze(fault.seconds))
            if worker_id is not None:
                await asyncio.sleep(0)  # lets the task above send its signal first
                group.create_task(self._recoveries.watch(worker_id, fault))

    async def _disturb_network(self, fault: Fault) -> None:
        assert fault.peer is not None  # noqa: S101  # the schedule sets it for these kinds
        worker = self._worker(fault)
        link, state = worker.links[fault.peer], _LINK_STATES[fault.kind]
        cut_off = fault.peer is Peer.REDIS and state is not State.UP
        worker_id = await self._recoveries.worker_id_of(worker.pid) if cut_off else None
        async with asyncio.TaskGroup() as group:
            link.set(state, fault.amount)
            if worker_id is not None:
                group.create_task(self._recoveries.record_loss(worker_id))
            await asyncio.sleep(fault.seconds)
            link.set(State.UP)

    async def _disturb_provider(self, fault: Fault) -> None:
        provider = self._provider
        match fault.kind:
            case Kind.SLOW:
                provider.trouble = SLOW
            case Kind.FAILING:
                provider.trouble = FAILING
            case _:
                provider.trouble, provider.disorder = LYING, LYING_DISORDER
        await asyncio.sleep(fault.seconds)
        provider.trouble, provider.disorder = None, USUAL_DISORDER

    async def _skew_clock(self, worker: Worker, fault: Fault) -> None:
        worker.skew = fault.amount
        await worker.replace()
        await asyncio.sleep(fault.seconds)
        worker.skew = 0.0
        await worker.replace()

    async def _run_arq_worker(self, seconds: float) -> None:
        command: Sequence[str] = [sys.executable, "-m", "arq", "jobs.call.WorkerSettings"]
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self._arq_environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )
        try:
            await asyncio.sleep(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
