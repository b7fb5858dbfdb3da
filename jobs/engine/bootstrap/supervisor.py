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
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from jobs.engine.connection.backoff import backoff_delay
from jobs.errors import UsageError

logger = logging.getLogger("jobs.worker")

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
_HEALTHY_AFTER: Final = 60.0
"""Seconds that a child has to live for its earlier deaths to be forgotten."""
_KILL_AFTER: Final = 10.0
"""Seconds beyond the grace until a child that does not stop is killed."""
_CHECKOUT: Final = Path(__file__).resolve().parents[3]


@dataclass(slots=True, eq=False)
class Child:
    """A process of its own. ready: resolved once it runs, or with False when it ends before.
    told: to stop."""

    process: asyncio.subprocess.Process
    ready: asyncio.Future[bool]
    told: bool = False

    def signal(self, signum: signal.Signals) -> None:
        """Nothing happens to one that has ended."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signum)

    def stop(self, patience: float) -> None:
        """Once: a second SIGTERM would cut its jobs off. After so many seconds it is killed."""
        if not self.told:
            self.told = True
            self.signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(patience, self._kill)

    def _kill(self) -> None:
        if self.process.returncode is None:
            logger.error("worker process %d does not stop, it is killed", self.process.pid)
            self.signal(signal.SIGKILL)


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
    _stopping: bool = field(default=False, init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Ends the pauses that there are."""

    async def run(self) -> int:
        """Until all have ended; the exit code. A child that cannot even start ends them all."""
        if self.handle_signals:
            for signum in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(signum, self.stop)
        tasks: list[asyncio.Task[int | None]] = []
        if self.watched:
            tasks.append(asyncio.create_task(self._reload(_changes(self.watched))))
        tasks.append(asyncio.create_task(self._work()))
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return ended.pop().result() or 0
        finally:
            for task in tasks:
                task.cancel()
            if not self._stopping:
                self.stop()
            await asyncio.gather(*(child.process.wait() for child in self._children))

    def stop(self) -> None:
        """Tell the children to stop; a second time they do so at once."""
        for child in self._children:
            if self._stopping:
                child.signal(signal.SIGTERM)
            else:
                self._tell(child)
        self._stopping = True
        self._wake()

    async def _work(self) -> int:
        first = await self._spawn()
        if not await first.ready and not first.told:
            return max(await first.process.wait(), 1)
        missing = 0 if self._stopping else self.processes - 1
        others = [self._keep(await self._spawn()) for _ in range(missing)]
        return max(await asyncio.gather(self._keep(first), *others))

    async def _keep(self, child: Child) -> int:
        """See to it that there is a child, until one has ended as it should."""
        deaths = 0
        while True:
            started = time.monotonic()
            code = await child.process.wait()
            self._children.discard(child)
            if self._stopping or (code == 0 and self.burst):
                return max(code, 0)
            if not child.told:
                deaths = 0 if time.monotonic() - started > _HEALTHY_AFTER else deaths + 1
                pause = backoff_delay(deaths - 1, FIRST_PAUSE, LONGEST_PAUSE) if deaths else 0.0
                logger.error(
                    "worker process %d died (%s), another one is started in %g s",
                    child.process.pid, _described(code), pause,
                )  # fmt: skip
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
                if self._stopping:
                    return 0
            child = await self._spawn()

    async def _spawn(self) -> Child:
        child = await spawn(self.command, self.environment, self.output)
        self._children.add(child)
        if self._stopping:  # while it was being made
            self._tell(child)
        return child

    async def _reload(self, changes: AsyncIterator[object]) -> None:
        async for _ in changes:
            logger.warning("files have changed, the workers are started anew")
            for child in self._children:
                self._tell(child)
            self._wake()

    def _tell(self, child: Child) -> None:
        child.stop(self.grace + _KILL_AFTER)

    def _wake(self) -> None:
        self._woken.set()
        self._woken.clear()


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
    """A child's command: this interpreter, as a worker.

    As under the `ringline` command, no module of the working folder shadows one of ours or of
    Python's. A checkout that is not installed is the exception: its modules are nowhere else.
    """
    safe = [] if Path.cwd() == _CHECKOUT else ["-P"]
    return [sys.executable, *safe, "-m", "jobs.worker", *args]


def announce(descriptor: int) -> None:
    """In a child: it runs."""
    os.write(descriptor, b"1")
    os.close(descriptor)


def _changes(folders: Sequence[Path]) -> AsyncIterator[object]:
    """One item each time Python files change. Raises UsageError."""
    try:
        from watchfiles import PythonFilter, awatch
    except ImportError:
        raise UsageError("--reload needs watchfiles: pip install 'ringline[reload]'") from None
    return awatch(*folders, watch_filter=PythonFilter(), ignore_permission_denied=True)


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
