"""Several worker processes: started, watched, started again when one dies, and stopped together.

A child has its standard input from here: when that ends, its supervisor is gone, and it stops. It
writes a byte to the file descriptor of `--ready` once it runs.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from jobs.errors import UsageError

logger = logging.getLogger("jobs.worker")

LONGEST_PAUSE: Final = 30.0
_HEALTHY_AFTER: Final = 60.0
"""Seconds that a child has to live for its earlier deaths to be forgotten."""
_KILL_AFTER: Final = 10.0
"""Seconds beyond the grace until a child that does not stop is killed."""


@dataclass(slots=True, eq=False)
class Child:
    """A process of its own. ready: resolved once it runs, or with False when it ends before."""

    process: asyncio.subprocess.Process
    ready: asyncio.Future[bool]
    restarting: bool = False

    def signal(self, signum: signal.Signals) -> None:
        """Nothing happens to one that has ended."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signum)


@dataclass(eq=False)
class Supervisor:
    """Runs `processes` children of `command`.

    grace: seconds that they have to end their jobs. burst: a child that exits with 0 is done.
    watched: folders whose Python files are watched; a change starts all children anew.
    environment, output: of the children, where they are not to be this process's own.
    handle_signals: SIGTERM and SIGINT stop the children; else only `stop` does.
    """

    command: Sequence[str]
    processes: int
    grace: float
    burst: bool = False
    watched: Sequence[Path] = ()
    environment: Mapping[str, str] | None = None
    output: IO[bytes] | None = None
    handle_signals: bool = True
    _children: set[Child] = field(default_factory=set, init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> int:
        """Until all have ended; the exit code. A child that cannot even start ends them all."""
        if self.handle_signals:
            for signum in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(signum, self.stop)
        watching = asyncio.create_task(self._watch()) if self.watched else None
        try:
            first = await self._spawn()
            if not await first.ready:
                code = await first.process.wait()
                return 0 if self._stopping.is_set() else max(code, 1)
            others = [self._keep(await self._spawn()) for _ in range(self.processes - 1)]
            return max(await asyncio.gather(self._keep(first), *others))
        finally:
            if watching is not None:
                watching.cancel()
            await self._end_all()

    def stop(self) -> None:
        """Tell the children to stop; a second time they do so at once."""
        self._stopping.set()
        for child in self._children:
            child.signal(signal.SIGTERM)

    async def _keep(self, child: Child) -> int:
        """See to it that there is a child, until one has ended as it should."""
        deaths = 0
        while True:
            started = time.monotonic()
            code = await child.process.wait()
            self._children.discard(child)
            if self._stopping.is_set() or (code == 0 and self.burst):
                return max(code, 0)
            if not child.restarting:
                deaths = 0 if time.monotonic() - started > _HEALTHY_AFTER else deaths + 1
                pause = min(0.5 * 2 ** min(deaths - 1, 10), LONGEST_PAUSE) if deaths else 0.0
                logger.error(
                    "worker process %d died (%s), another one is started in %g s",
                    child.process.pid, _described(code), pause,
                )  # fmt: skip
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                    return 0
            child = await self._spawn()

    async def _spawn(self) -> Child:
        child = await spawn(self.command, self.environment, self.output)
        self._children.add(child)
        if self._stopping.is_set():  # while it was being made
            child.signal(signal.SIGTERM)
        return child

    async def _watch(self) -> None:
        try:
            from watchfiles import PythonFilter, awatch
        except ImportError:
            raise UsageError("--reload needs watchfiles: pip install watchfiles") from None
        async for _ in awatch(*self.watched, watch_filter=PythonFilter()):
            logger.warning("files have changed, the workers are started anew")
            for child in self._children:
                child.restarting = True
                child.signal(signal.SIGTERM)

    async def _end_all(self) -> None:
        self.stop()
        ends = [asyncio.create_task(child.process.wait()) for child in self._children]
        if ends:
            await asyncio.wait(ends, timeout=self.grace + _KILL_AFTER)
        for child in self._children:
            child.signal(signal.SIGKILL)
        await asyncio.gather(*ends)


async def spawn(
    command: Sequence[str], environment: Mapping[str, str] | None, output: IO[bytes] | None
) -> Child:
    """Starts a worker that ends when this process does."""
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command, "--ready", str(writing),
            stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output,
            env=environment, pass_fds=[writing], start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(writing)
    return Child(process, _answer(reading))


def command(*args: str) -> list[str]:
    """A child's command: this interpreter, as a worker."""
    return [sys.executable, "-m", "jobs.worker", *args]


def announce(descriptor: int) -> None:
    """In a child: it runs."""
    os.write(descriptor, b"1")
    os.close(descriptor)


def _answer(descriptor: int) -> asyncio.Future[bool]:
    """Whether a byte comes before the end of this pipe."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def read() -> None:
        loop.remove_reader(descriptor)
        said = os.read(descriptor, 1)
        os.close(descriptor)
        if not answer.done():  # nobody may be waiting for it any more
            answer.set_result(bool(said))

    loop.add_reader(descriptor, read)
    return answer


def _described(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
