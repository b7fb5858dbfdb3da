"""The worker processes of a run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Final

from jobs.engine.bootstrap.supervisor import Supervisor, command
from jobs.errors import ServerError
from jobs.logs import configure

GRACE: Final = 10.0
"""Seconds that running jobs have to finish at the end."""


@asynccontextmanager
async def workers(
    count: int, environment: Mapping[str, str], log: Path
) -> AsyncIterator["asyncio.Task[None]"]:
    """Workers for all queues, in processes of their own, for as long as the block runs.

    One that dies is replaced; when this process dies, they end too. `log` gets what all of them
    have to say. Answers a task that ends, with ServerError, only if they cannot go on.
    """
    with logging_to(log) as output:
        supervisor = Supervisor(
            command("all"),
            count,
            GRACE,
            environment=environment,
            output=output,
            handle_signals=False,  # Ctrl-C is for the demo, which ends them in order
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
    """A new file for the logs of this process, and of those that it is handed on to."""
    log.unlink(missing_ok=True)
    with log.open("ab") as output, log.open("a", encoding="utf-8", buffering=1) as own:
        configure("WARNING", "json", own)
        try:
            yield output
        finally:
            configure("WARNING")


async def _watch(supervisor: Supervisor, log: Path) -> None:
    status = await supervisor.run()
    raise ServerError(f"the workers ended by themselves (status {status}); {log} may say why")
