"""Workers for tests: run in this process, or as processes of their own that can be killed."""

import asyncio
import gc
import os
import shutil
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import mkdtemp
from types import MappingProxyType

import arq.worker
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from jobs.embedded import binaries
from jobs.testing.waiting import wait_until

ROOT = Path(__file__).parents[2]


async def connect(url: str) -> ArqRedis:
    """A plain arq pool: a stock producer."""
    redis = ArqRedis(ConnectionPool.from_url(url))
    redis.auto_close_connection_pool = True
    return redis


@asynccontextmanager
async def running(worker: arq.worker.Worker) -> AsyncIterator[None]:
    """The worker at work beside the block; closed afterwards, its own errors raised."""
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        worker.handle_sig(signal.SIGUSR1)
        await asyncio.wait([task])
        pool = worker.pool
        stock = type(worker) is arq.worker.Worker
        try:
            # arq's worker raises what it cancelled, if that was a job at its very end.
            with suppress(*[asyncio.CancelledError] if stock else []):
                await worker.close()
        finally:
            await pool.aclose(close_connection_pool=True)
            if stock:
                _collect_what_it_left()
        if not task.cancelled():
            task.result()


def _collect_what_it_left() -> None:
    """arq's worker, stopped in the midst of a pipeline, leaves its connection open."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@contextmanager
def process(
    url: str,
    settings: str,
    *options: str,
    processes: int = 1,
    grace: float = 10,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Popen[bytes]]:
    """`python -m jobs.worker` with settings classes of `scripted_settings.py`."""
    paths = ",".join(f"tests.integration.scripted_settings.{name}" for name in settings.split(","))
    command = [sys.executable, "-m", "jobs.worker", paths, str(processes), *options]
    whole = {
        **os.environ,
        "REDIS_URL": url,
        "TASK_SHUTDOWN_GRACE": str(grace),
        "LOG_LEVEL": "WARNING",
        **environment,
    }
    child = Popen(command, env=whole, cwd=ROOT)  # noqa: S603 - our own
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()


class OwnRedis:
    """A Redis of one test, with an append-only file, that can be killed and started again."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="rl-"))
        self.url = f"unix://{self.folder}/redis.sock"
        self._server = self._start()

    def _start(self, **more: str) -> Popen[bytes]:
        options = {"port": "0", "unixsocket": "redis.sock", "save": "", "appendonly": "yes", **more}
        words = [
            word
            for name, value in options.items()
            for word in (f"--{name.replace('_', '-')}", value)
        ]
        command = [str(binaries.redis_server()), *words]
        return Popen(command, cwd=self.folder, stdout=DEVNULL)  # noqa: S603 - our own

    def kill(self) -> None:
        self._server.kill()
        self._server.wait()

    def freeze(self) -> None:
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._server.send_signal(signal.SIGCONT)

    def start(self, **options: str) -> None:
        self._server = self._start(**options)

    async def ready(self) -> None:
        """Wait until it answers."""
        async with Redis.from_url(self.url) as redis:
            await wait_until(lambda: _answers(redis))


async def _answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except RedisError:
        return False


@asynccontextmanager
async def own_redis() -> AsyncIterator[OwnRedis]:
    server = OwnRedis()
    try:
        await server.ready()
        yield server
    finally:
        server.kill()
        shutil.rmtree(server.folder)
