"""The supervisor: starts, restarts and stops several worker processes.

A child reads its standard input from the supervisor: when that ends, the supervisor is gone, and
the child stops. Once it runs, a child writes a byte to the file descriptor of `--ready`.
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

MIN_RESTART_DELAY: Final = 0.5
MAX_RESTART_DELAY: Final = 30.0
"""Seconds before a child that died is started again."""
_HEALTHY_AFTER: Final = 60.0
"""Seconds after which a child counts as healthy and its earlier deaths are forgotten."""
_KILL_AFTER: Final = 10.0
"""Seconds beyond the grace period after which a child is killed."""
_CHECKOUT: Final = Path(__file__).resolve().parents[3]


@dataclass(slots=True, eq=False)
class Child:
    """A worker process.

    Attributes:
        process: The process.
        ready: Resolves to True once the worker runs, to False if the process ends before.
        stopping: The process was asked to stop.
    """

    process: asyncio.subprocess.Process
    ready: asyncio.Future[bool]
    stopping: bool = False

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signum)

    def stop(self, grace: float) -> None:
        """Send SIGTERM once: a second one cancels jobs. Kill the process after `grace` seconds."""
        if not self.stopping:
            self.stopping = True
            self.signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(grace, self._kill)

    def _kill(self) -> None:
        if self.process.returncode is None:
            logger.error("killing worker process: it does not stop pid=%d", self.process.pid)
            self.signal(signal.SIGKILL)


@dataclass(eq=False)
class Supervisor:
    """Runs several worker processes.

    Attributes:
        command: The command of a child.
        processes: The number of children.
        grace: Seconds that children have to end their jobs.
        burst: A child that exits with code 0 is done.
        watched: Folders whose Python files are watched; a change restarts all children.
        environment: The children's environment; None for this process's.
        output: The children's output; None for this process's.
        handle_signals: Stop the children on SIGTERM and SIGINT.
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
    """Ends waits before restarts."""

    async def run(self) -> int:
        """Run until all children have ended. If the first child cannot start, no other is started.

        Returns:
            The exit code.
        """
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
        """Stop the children; on a second call, at once."""
        for child in self._children:
            if self._stopping:
                child.signal(signal.SIGTERM)
            else:
                self._stop(child)
        self._stopping = True
        self._wake()

    async def _work(self) -> int:
        first = await self._spawn()
        if not await first.ready and not first.stopping:
            return max(await first.process.wait(), 1)
        missing = 0 if self._stopping else self.processes - 1
        others = [self._keep(await self._spawn()) for _ in range(missing)]
        return max(await asyncio.gather(self._keep(first), *others))

    async def _keep(self, child: Child) -> int:
        """Restart a child that dies, until it ends regularly. Return its exit code."""
        deaths = 0
        while True:
            started = time.monotonic()
            code = await child.process.wait()
            self._children.discard(child)
            if self._stopping or (code == 0 and self.burst):
                return max(code, 0)
            if not child.stopping:
                deaths = 0 if time.monotonic() - started > _HEALTHY_AFTER else deaths + 1
                delay = (
                    backoff_delay(deaths - 1, MIN_RESTART_DELAY, MAX_RESTART_DELAY)
                    if deaths
                    else 0.0
                )
                logger.error(
                    "restarting worker process: it died pid=%d cause=%s delay=%gs",
                    child.process.pid, _described(code), delay,
                )  # fmt: skip
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._woken.wait()
                if self._stopping:
                    return 0
            child = await self._spawn()

    async def _spawn(self) -> Child:
        child = await spawn(self.command, self.environment, self.output)
        self._children.add(child)
        if self._stopping:  # since the start of the child
            self._stop(child)
        return child

    async def _reload(self, changes: AsyncIterator[object]) -> None:
        async for _ in changes:
            logger.warning("restarting workers: files have changed")
            for child in self._children:
                self._stop(child)
            self._wake()

    def _stop(self, child: Child) -> None:
        child.stop(self.grace + _KILL_AFTER)

    def _wake(self) -> None:
        self._woken.set()
        self._woken.clear()


async def spawn(
    command: Sequence[str], environment: Mapping[str, str] | None, output: IO[bytes] | None
) -> Child:
    """Start a worker that ends with this process."""
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command, "--ready", str(writing),
            stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output,
            env=environment, pass_fds=[writing], start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(writing)
    return Child(process, _read_ready(reading))


def command(*args: str) -> list[str]:
    """Return the command of a child: this interpreter, as a worker.

    As under the `ringline` command, no module of the working folder shadows one of ours or of
    Python's. A checkout that is not installed is the exception: its modules are nowhere else.
    """
    safe = [] if Path.cwd() == _CHECKOUT else ["-P"]
    return [sys.executable, *safe, "-m", "jobs.worker", *args]


def announce(descriptor: int) -> None:
    """Report, in a child, that the worker runs."""
    os.write(descriptor, b"1")
    os.close(descriptor)


def _changes(folders: Sequence[Path]) -> AsyncIterator[object]:
    """Yield an item each time Python files change.

    Raises:
        UsageError: The extra `reload` is not installed.
    """
    try:
        from watchfiles import PythonFilter, awatch
    except ImportError:
        raise UsageError("--reload needs watchfiles: pip install 'ringline[reload]'") from None
    return awatch(*folders, watch_filter=PythonFilter(), ignore_permission_denied=True)


def _read_ready(descriptor: int) -> asyncio.Future[bool]:
    """Return a future of whether a byte comes before the end of a pipe."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()

    def read() -> None:
        loop.remove_reader(descriptor)
        data = os.read(descriptor, 1)
        os.close(descriptor)
        if not ready.done():  # the wait may have been canceled
            ready.set_result(bool(data))

    loop.add_reader(descriptor, read)
    return ready


def _described(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
