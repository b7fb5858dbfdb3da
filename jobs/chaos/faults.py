"""How each fault is brought about."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final

from jobs.chaos.proxies import State
from jobs.chaos.recovery import Recoveries, Span
from jobs.chaos.schedule import Fault, Kind, Peer, Schedule
from jobs.chaos.servers import OwnServers
from jobs.chaos.workers import KILL_AFTER, Fleet, Worker
from jobs.chaos.workload import USUAL
from jobs.engine import Pool
from jobs.voice import Disorder, Simulator, Trouble

SLOW: Final = Trouble(slow=0.8, slow_seconds=1.0)
FAILING: Final = Trouble(refuse=0.4, wait=0.3, deaf=0.5, wait_seconds=1.0)
LYING: Final = Trouble(unanswered=0.4, dropped=0.2, deaf=0.3)
CONFUSED: Final = Disorder(
    late=0.4, repeated=0.3, lost=0.3, shuffled=0.3, unnamed=0.1, contradicted=0.2, delay=1200
)
"""Callbacks of a lying provider."""
_STATES: Final[Mapping[Kind, State]] = {
    Kind.CUT: State.CUT,
    Kind.DELAY: State.UP,
    Kind.SILENCE: State.SILENT,
    Kind.HALF_OPEN: State.HALF_OPEN,
}


class Injector:
    """Plays a schedule. spans: of the faults that have come about and are over."""

    def __init__(
        self,
        *,
        servers: OwnServers,
        fleet: Fleet,
        provider: Simulator,
        pool: Pool,
        recoveries: Recoveries,
        stock_environment: Mapping[str, str],
        output: IO[bytes],
    ) -> None:
        self.spans: list[Span] = []
        self._servers = servers
        self._fleet = fleet
        self._provider = provider
        self._pool = pool
        self._recoveries = recoveries
        self._stock_environment = stock_environment
        self._output = output

    async def play(self, schedule: Schedule, tell: Callable[[Fault], None]) -> None:
        """Brings all faults about, each at its time; returns when all are over."""
        async with asyncio.TaskGroup() as group:
            for fault in schedule.faults:
                group.create_task(self._at_its_time(fault, tell))
            await asyncio.sleep(schedule.seconds)

    async def _at_its_time(self, fault: Fault, tell: Callable[[Fault], None]) -> None:
        await asyncio.sleep(fault.at)
        tell(fault)
        began = time.monotonic()
        await self._bring(fault)
        self.spans.append(Span(fault, began, time.monotonic()))

    async def _bring(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL | Kind.FREEZE:
                await self._silence(self._worker(fault), fault)
            case Kind.REDIS:
                await self._servers.restart_redis(fault.seconds)
            case Kind.FLUSH:
                await self._pool.flushall()
            case Kind.POSTGRES:
                await self._servers.restart_postgres(fault.seconds)
            case Kind.CUT | Kind.DELAY | Kind.SILENCE | Kind.HALF_OPEN:
                await self._disturb(fault)
            case Kind.SLOW | Kind.FAILING | Kind.LYING:
                await self._trouble(fault)
            case Kind.SKEW:
                await self._skew(self._worker(fault), fault)
            case Kind.STOCK:
                await self._stock(fault.seconds)
            case Kind.DEPLOY:
                await self._fleet.deploy()

    def _worker(self, fault: Fault) -> Worker:
        assert fault.worker is not None  # noqa: S101  # the schedule names one for these kinds
        return self._fleet.workers[fault.worker]

    async def _silence(self, worker: Worker, fault: Fault) -> None:
        """Kills or freezes a worker, and watches what becomes of its jobs."""
        worker_id = await self._recoveries.worker_of(worker.pid)
        async with asyncio.TaskGroup() as group:
            if fault.kind is Kind.KILL:
                group.create_task(worker.kill(fault.seconds))
            else:
                group.create_task(worker.freeze(fault.seconds))
            if worker_id is not None:
                await asyncio.sleep(0)  # the worker is silent after that
                group.create_task(self._recoveries.watch(worker_id, fault))

    async def _disturb(self, fault: Fault) -> None:
        assert fault.peer is not None  # noqa: S101  # the schedule names one for these kinds
        worker = self._worker(fault)
        link, state = worker.links[fault.peer], _STATES[fault.kind]
        cut_off = fault.peer is Peer.REDIS and state is not State.UP
        worker_id = await self._recoveries.worker_of(worker.pid) if cut_off else None
        async with asyncio.TaskGroup() as group:
            link.set(state, fault.amount)
            if worker_id is not None:
                group.create_task(self._recoveries.note(worker_id))
            await asyncio.sleep(fault.seconds)
            link.set(State.UP)

    async def _trouble(self, fault: Fault) -> None:
        provider = self._provider
        match fault.kind:
            case Kind.SLOW:
                provider.trouble = SLOW
            case Kind.FAILING:
                provider.trouble = FAILING
            case _:
                provider.trouble, provider.disorder = LYING, CONFUSED
        await asyncio.sleep(fault.seconds)
        provider.trouble, provider.disorder = None, USUAL

    async def _skew(self, worker: Worker, fault: Fault) -> None:
        worker.skew = fault.amount
        await worker.replace()
        await asyncio.sleep(fault.seconds)
        worker.skew = 0.0
        await worker.replace()

    async def _stock(self, seconds: float) -> None:
        command: Sequence[str] = [sys.executable, "-m", "arq", "jobs.call.WorkerSettings"]
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self._stock_environment,
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
                async with asyncio.timeout(KILL_AFTER):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
