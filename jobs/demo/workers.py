"""The worker processes of a run."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from jobs.errors import ServerError

PATIENCE: Final = 20.0
"""Seconds that the workers have to end after SIGTERM."""


@asynccontextmanager
async def workers(
    count: int, environment: Mapping[str, str], log: Path
) -> AsyncIterator["asyncio.Task[None]"]:
    """`jobs worker all COUNT`, in processes of their own, for as long as the block runs.

    Answers a task that ends, with ServerError, only if the workers end before they are told to.
    """
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "jobs.worker",
            "all",
            str(count),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for the demo, which ends them in order
        )
    watch = asyncio.create_task(_watch(process, log))
    try:
        yield watch
    finally:
        watch.cancel()
        await _end(process)


async def _watch(process: asyncio.subprocess.Process, log: Path) -> None:
    status = await process.wait()
    raise ServerError(f"the workers ended by themselves (status {status}); {log} may say why")


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
