"""Workers for tests: run in this process, or in separate processes that can be killed."""

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
    """Return an unmodified arq pool."""
    redis = ArqRedis(ConnectionPool.from_url(url))
    redis.auto_close_connection_pool = True
    return redis


@asynccontextmanager
async def running(worker: arq.worker.Worker) -> AsyncIterator[None]:
    """Run the worker during the block; then close it, and raise its errors."""
    task = asyncio.create_task(worker.async_run())
    try:
        yield
    finally:
        worker.handle_sig(signal.SIGUSR1)
        await asyncio.wait([task])
        pool = worker.pool
        is_arqs = type(worker) is arq.worker.Worker
        try:
            # arq's worker raises the cancellation of a job that was about to end.
            with suppress(*[asyncio.CancelledError] if is_arqs else []):
                await worker.close()
        finally:
            await pool.aclose(close_connection_pool=True)
            if is_arqs:
                _collect_open_connections()
        if not task.cancelled():
            task.result()


def _collect_open_connections() -> None:
    """Collect the connection that arq's worker leaves open if it is stopped in a pipeline."""
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
    """Run `python -m jobs.worker` with settings classes of `scripted_settings.py`."""
    paths = ",".join(f"tests.integration.scripted_settings.{name}" for name in settings.split(","))
    command = [sys.executable, "-m", "jobs.worker", paths, str(processes), *options]
    variables = {
        **os.environ,
        "REDIS_URL": url,
        "TASK_SHUTDOWN_GRACE": str(grace),
        "LOG_LEVEL": "WARNING",
        **environment,
    }
    child = Popen(command, env=variables, cwd=ROOT)  # noqa: S603 - a fixed command
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()


class OwnRedis:
    """Redis server of one test, with an append-only file; it can be killed and started again."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="rl-"))
        self.url = f"unix://{self.folder}/redis.sock"
        self._server = self._start()

    def _start(self, **overrides: str) -> Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": "redis.sock",
            "save": "",
            "appendonly": "yes",
            **overrides,
        }
        arguments = [
            argument
            for name, value in options.items()
            for argument in (f"--{name.replace('_', '-')}", value)
        ]
        command = [str(binaries.redis_server()), *arguments]
        return Popen(command, cwd=self.folder, stdout=DEVNULL)  # noqa: S603 - a fixed command

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
        """Wait until the server replies."""
        async with Redis.from_url(self.url) as redis:
            await wait_until(lambda: _replies(redis))


async def _replies(redis: Redis) -> bool:
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
