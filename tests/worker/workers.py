"""Workers for tests: run in this process, or as processes of their own that can be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import Popen

import arq.worker
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

FOLDER = Path(__file__).parent


async def connect(url: str) -> ArqRedis:
    """A plain arq pool: a stock producer."""
    return ArqRedis(ConnectionPool.from_url(url))


@asynccontextmanager
async def running(worker: arq.worker.Worker) -> AsyncIterator[None]:
    """The worker at work beside the block; closed afterwards, its own errors raised."""
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        worker.handle_sig(signal.SIGUSR1)
        await asyncio.wait([task])
        await worker.close()
        if not task.cancelled():
            task.result()


@contextmanager
def process(url: str, settings: str, *options: str, processes: int = 1) -> Iterator[Popen[bytes]]:
    """`python -m jobs.worker` with a settings class of `scripted_settings.py`."""
    command = [sys.executable, "-m", "jobs.worker", f"scripted_settings.{settings}", str(processes)]
    environment = os.environ | {"REDIS_URL": url, "PYTHONPATH": str(FOLDER)}
    command += ["--loglevel", "WARNING", *options]
    child = Popen(command, env=environment, cwd=FOLDER.parents[1])  # noqa: S603 - our own
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()
