"""Workers of a run: each a process with its own network proxies."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from jobs.chaos.proxies import Link, State
from jobs.chaos.schedule import Peer
from jobs.engine.bootstrap.supervisor import Child, command, spawn

QUEUES: Final = ",".join(
    (
        *(f"{domain}_tasks" for domain in ("lead", "call", "campaign", "analytics")),
        "default",
        "jobs.default.scripted.ScriptedSettings",
    )
)
"""All queues, with the scripted jobs of the workload."""
RESTART_DELAY: Final = 0.3
"""Seconds until a worker that exited is started again."""
STOP_TIMEOUT: Final = 15.0
"""Seconds that a worker may take to stop before it is killed."""


@dataclass(eq=False)
class Worker:
    """One worker, restarted whenever its process exits.

    Attributes:
        number: Number of the worker, from 0.
        environment: Environment variables of the process.
        links: Network link to each peer.
        output: Output of the process.
        unexpected_exits: How often the process exited without a signal from the run.
        ignored_stops: How often the process did not stop on SIGTERM.
        skew: Error of the next process's clock, in seconds.
    """

    number: int
    environment: Mapping[str, str]
    links: Mapping[Peer, Link]
    output: IO[bytes]
    unexpected_exits: int = 0
    ignored_stops: int = 0
    skew: float = 0.0
    _child: Child | None = None
    _may_run: asyncio.Event = field(default_factory=asyncio.Event)
    _up: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False

    async def run(self) -> None:
        """Run one process after the other until canceled."""
        self._may_run.set()
        try:
            while True:
                await self._may_run.wait()
                self._stopping = False
                child = self._child = await spawn(self._command(), self.environment, self.output)
                was_ready = await child.ready
                if was_ready:
                    self._up.set()
                await child.process.wait()
                self._up.clear()
                self.unexpected_exits += was_ready and not self._stopping
                await asyncio.sleep(RESTART_DELAY)
        finally:
            await self._end()

    @property
    def pid(self) -> int | None:
        """Process id; None if no process runs."""
        child = self._child
        return child.process.pid if child and child.process.returncode is None else None

    async def wait_until_up(self) -> None:
        """Wait until the worker runs jobs."""
        await self._up.wait()

    async def kill(self, downtime: float) -> None:
        """Kill the process; return when its successor is up.

        Args:
            downtime: Seconds until the successor is started.
        """
        self._may_run.clear()
        self._stopping = True
        if self._child is not None:
            self._child.signal(signal.SIGKILL)
        self._up.clear()
        await asyncio.sleep(downtime)
        self._may_run.set()
        await self.wait_until_up()

    async def freeze(self, seconds: float) -> None:
        """Suspend the process.

        Args:
            seconds: Time between SIGSTOP and SIGCONT.
        """
        child = self._child
        if child is None:
            return
        child.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            child.signal(signal.SIGCONT)

    async def replace(self) -> None:
        """Stop the process gracefully; return when its successor is up."""
        if self._child is None or self.pid is None:
            return await self.wait_until_up()
        self._up.clear()
        await self._stop(self._child)
        return await self.wait_until_up()

    async def _end(self) -> None:
        if self._child is not None and self.pid is not None:
            await self._stop(self._child)

    async def _stop(self, child: Child) -> None:
        self._stopping = True
        child.signal(signal.SIGTERM)
        child.signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await child.process.wait()
        except TimeoutError:
            self.ignored_stops += 1
            child.signal(signal.SIGKILL)
            await child.process.wait()

    def _command(self) -> Sequence[str]:
        if not self.skew:
            return command(QUEUES)
        return [sys.executable, "-m", "jobs.chaos.clock_skew", str(self.skew), QUEUES]


class Fleet:
    """All workers of a run.

    Args:
        workers: The workers.
        task: Task that runs them; it ends only if they cannot go on.
    """

    def __init__(self, workers: Sequence[Worker], task: "asyncio.Task[None]") -> None:
        self.workers = workers
        self.task = task

    @property
    def unexpected_exits(self) -> int:
        """Unexpected exits of all workers."""
        return sum(worker.unexpected_exits for worker in self.workers)

    @property
    def ignored_stops(self) -> int:
        """Stop signals that workers ignored."""
        return sum(worker.ignored_stops for worker in self.workers)

    async def deploy(self) -> None:
        """Replace the workers one by one, as in a rolling deployment."""
        for worker in self.workers:
            await worker.replace()

    async def stop(self) -> None:
        """Restore all networks and stop all workers gracefully."""
        for worker in self.workers:
            for link in worker.links.values():
                link.set(State.UP)
        self.task.cancel()
        await asyncio.wait([self.task])


@asynccontextmanager
async def run_workers(workers: Sequence[Worker]) -> AsyncIterator[Fleet]:
    """Run workers and their network links while the block runs.

    Args:
        workers: The workers.

    Returns:
        A context manager with the fleet.
    """
    async with AsyncExitStack() as stack:
        for worker in workers:
            for link in worker.links.values():
                await link.start()
                stack.push_async_callback(link.close)
        fleet = Fleet(workers, asyncio.create_task(_run_all(workers)))
        try:
            yield fleet
        finally:
            await fleet.stop()


async def _run_all(workers: Sequence[Worker]) -> None:
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())


def make_links(folder: Path, targets: Mapping[Peer, Path]) -> Mapping[Peer, Link]:
    """Make one worker's links to its peers.

    Args:
        folder: Folder for the links' sockets, which get the names of the targets.
        targets: Socket of each peer.

    Returns:
        The links, not yet started.
    """
    return {peer: Link(folder / target.name, target) for peer, target in targets.items()}
