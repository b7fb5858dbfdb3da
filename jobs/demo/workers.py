"""Worker processes of a run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Final

from jobs.engine.bootstrap.supervisor import Supervisor, command
from jobs.errors import ServerError
from jobs.logs import configure

GRACE_PERIOD: Final = 10.0
"""Seconds that running jobs get to finish at the end of the run."""


@asynccontextmanager
async def workers(
    count: int, environment: Mapping[str, str], log: Path
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run worker processes for all queues while the block runs.

    A process that dies is replaced. If this process dies, the workers stop too.

    Args:
        count: Number of processes.
        environment: Environment variables of the processes.
        log: File for the logs of all processes.

    Returns:
        A context manager with a task that ends, with ServerError, only if the workers cannot
        go on.
    """
    with logging_to(log) as output:
        supervisor = Supervisor(
            command("all"),
            count,
            GRACE_PERIOD,
            environment=environment,
            output=output,
            handle_signals=False,  # the demo handles Ctrl-C and stops the workers
        )
        watch = asyncio.create_task(_watch(supervisor, log))
        try:
            yield watch
        finally:
            supervisor.stop()
            with contextlib.suppress(ServerError):
                await watch


@contextmanager
def logging_to(log: Path) -> Iterator[IO[bytes]]:
    """Redirect this process's logs to a new file while the block runs.

    Args:
        log: File to create.

    Returns:
        A context manager with the file, to pass to child processes as their output.
    """
    log.unlink(missing_ok=True)
    with log.open("ab") as output, log.open("a", encoding="utf-8", buffering=1) as stream:
        configure("WARNING", "json", stream)
        try:
            yield output
        finally:
            configure("WARNING")


async def _watch(supervisor: Supervisor, log: Path) -> None:
    status = await supervisor.run()
    raise ServerError(f"the workers exited unexpectedly (status {status}): see {log}")
