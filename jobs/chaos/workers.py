"""The workers of a run: each a process with a network of its own."""

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

REST: Final = 0.3
"""Seconds until a worker that ended is started again."""
KILL_AFTER: Final = 15.0
"""Seconds that a worker has to stop."""


@dataclass(eq=False)
class Worker:
    """One worker, and its next life when it ends.

    unasked: how often it ended though nobody asked it to; stubborn: how often it did not end
    though it was asked to.
    """

    number: int
    environment: Mapping[str, str]
    links: Mapping[Peer, Link]
    output: IO[bytes]
    unasked: int = 0
    stubborn: int = 0
    skew: float = 0.0
    _child: Child | None = None
    _may_run: asyncio.Event = field(default_factory=asyncio.Event)
    _up: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: bool = False

    async def live(self) -> None:
        """Runs until it is cancelled, process after process."""
        self._may_run.set()
        try:
            while True:
                await self._may_run.wait()
                self._asked = False
                child = self._child = await spawn(self._command(), self.environment, self.output)
                was_ready = await child.ready
                if was_ready:
                    self._up.set()
                await child.process.wait()
                self._up.clear()
                self.unasked += was_ready and not self._asked
                await asyncio.sleep(REST)
        finally:
            await self._end()

    @property
    def pid(self) -> int | None:
        """Of its process, if one runs."""
        child = self._child
        return child.process.pid if child and child.process.returncode is None else None

    async def up(self) -> None:
        """Returns once it runs."""
        await self._up.wait()

    async def kill(self, down: float) -> None:
        """As kill -9; returns when its successor runs, which is started after `down` seconds."""
        self._may_run.clear()
        self._asked = True
        if self._child is not None:
            self._child.signal(signal.SIGKILL)
        self._up.clear()
        await asyncio.sleep(down)
        self._may_run.set()
        await self.up()

    async def freeze(self, seconds: float) -> None:
        """As SIGSTOP, and SIGCONT after `seconds`."""
        child = self._child
        if child is None:
            return
        child.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            child.signal(signal.SIGCONT)

    async def replace(self) -> None:
        """Stops it in good order, and waits until its successor runs."""
        if self._child is None or self.pid is None:
            return await self.up()
        self._up.clear()
        await self._stop(self._child)
        return await self.up()

    async def _end(self) -> None:
        if self._child is not None and self.pid is not None:
            await self._stop(self._child)

    async def _stop(self, child: Child) -> None:
        self._asked = True
        child.signal(signal.SIGTERM)
        child.signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(KILL_AFTER):
                await child.process.wait()
        except TimeoutError:
            self.stubborn += 1
            child.signal(signal.SIGKILL)
            await child.process.wait()

    def _command(self) -> Sequence[str]:
        if not self.skew:
            return command("all")
        return [sys.executable, "-m", "jobs.chaos.clock_skew", str(self.skew), "all"]


class Fleet:
    """All workers of a run. watch: a task that ends only if they cannot go on."""

    def __init__(self, workers: Sequence[Worker], watch: "asyncio.Task[None]") -> None:
        self.workers = workers
        self.watch = watch

    @property
    def unasked(self) -> int:
        return sum(worker.unasked for worker in self.workers)

    @property
    def stubborn(self) -> int:
        return sum(worker.stubborn for worker in self.workers)

    async def deploy(self) -> None:
        """Replaces one worker after the other."""
        for worker in self.workers:
            await worker.replace()

    async def stop(self) -> None:
        """Stops them all in good order."""
        for worker in self.workers:
            for link in worker.links.values():
                link.set(State.UP)
        self.watch.cancel()
        await asyncio.wait([self.watch])


@asynccontextmanager
async def running(workers: Sequence[Worker]) -> AsyncIterator[Fleet]:
    """The workers at work beside the block, with their networks; stopped after it."""
    async with AsyncExitStack() as stack:
        for worker in workers:
            for link in worker.links.values():
                await link.start()
                stack.push_async_callback(link.close)
        watch = asyncio.create_task(_live(workers))
        fleet = Fleet(workers, watch)
        try:
            yield fleet
        finally:
            await fleet.stop()


async def _live(workers: Sequence[Worker]) -> None:
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.live())


def links_of(folder: Path, targets: Mapping[Peer, Path]) -> Mapping[Peer, Link]:
    """A worker's own way to each of its peers, through sockets of the same names in `folder`."""
    return {peer: Link(folder / target.name, target) for peer, target in targets.items()}
