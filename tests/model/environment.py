"""Event loop and connections shared by all examples of a property test. Opening them takes longer
than an example."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from arq.connections import ArqRedis
from redis import Redis
from redis.exceptions import ResponseError

from jobs.engine import Pool, create_pool, deserialize, serialize
from tests.integration.workers import connect
from tests.model.actors import LossyChannel

T = TypeVar("T")


class Environment:
    """Event loop and connections.

    Attributes:
        redis: Synchronous client. redis-py types it for both kinds of client.
        pool: Our pool.
        arq_pool: arq's pool.
        channels: One channel per worker.
        serial: Numbers that distinguish jobs and results.
    """

    def __init__(self, url: str) -> None:
        self._loop = asyncio.Runner()
        self.redis: Any = Redis.from_url(url)
        self.pool: Pool = self.run(create_pool(url))
        self.arq_pool: ArqRedis = self.run(connect(url))
        self.arq_pool.job_serializer = serialize
        self.arq_pool.job_deserializer = deserialize
        self.channels = [LossyChannel(self.pool.connection_pool, lambda: None) for _ in range(3)]
        self.serial = count(1)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(coroutine)

    def now(self) -> float:
        """Return the time of Redis in POSIX milliseconds."""
        seconds, micros = self.redis.time()
        return float(seconds * 1000 + micros // 1000)

    def close(self) -> None:
        for channel in self.channels:
            self.run(channel.close())
        for pool in (self.pool, self.arq_pool):
            self.run(pool.aclose(close_connection_pool=True))
        self.redis.close()
        self._loop.close()


@contextmanager
def open_environment(url: str) -> Iterator[Environment]:
    """Open an environment with logging off: thousands of jobs would fill the log."""
    logging.disable()
    environment = Environment(url)
    try:
        yield environment
    finally:
        environment.close()
        logging.disable(logging.NOTSET)


@contextmanager
def url_without_command(command: str | None, url: str) -> Iterator[str]:
    """Yield the URL of a user without permission for `command`, or `url` itself for None."""
    if command is None:
        yield url
        return
    user = f"without-{command}-{uuid4().hex}"
    redis: Any = Redis.from_url(url)
    permissions = ["+@all", f"-{command}"]
    try:
        redis.acl_setuser(
            user, enabled=True, nopass=True, keys=["*"], channels=["*"], commands=permissions
        )
    except ResponseError as error:
        redis.close()
        pytest.skip(f"cannot forbid {command}: {error}")  # an old server lacks the command
    try:
        yield url.replace("://", f"://{user}:@", 1)
    finally:
        redis.acl_deluser(user)
        redis.close()
