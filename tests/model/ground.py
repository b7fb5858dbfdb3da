"""What all examples of a property test share: the loop and the connections, which take longer to
open than an example to run."""

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
from tests.model.actors import Lossy

T = TypeVar("T")


class Ground:
    """pool, stock_pool: producers of either kind. channels: one for each worker of ours. serial:
    tells jobs and results apart. redis is a client that does not await, typed for both kinds."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.Runner()
        self.redis: Any = Redis.from_url(url)
        self.pool: Pool = self.run(create_pool(url))
        self.stock_pool: ArqRedis = self.run(connect(url))
        self.stock_pool.job_serializer = serialize
        self.stock_pool.job_deserializer = deserialize
        self.channels = [Lossy(self.pool.connection_pool, lambda: None) for _ in range(3)]
        self.serial = count(1)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(coroutine)

    def now(self) -> float:
        """The time of Redis, in ms."""
        seconds, micros = self.redis.time()
        return float(seconds * 1000 + micros // 1000)

    def close(self) -> None:
        for channel in self.channels:
            self.run(channel.close())
        for pool in (self.pool, self.stock_pool):
            self.run(pool.aclose(close_connection_pool=True))
        self.redis.close()
        self._loop.close()


@contextmanager
def opened(url: str) -> Iterator[Ground]:
    """Without the logs of thousands of jobs that come to nothing."""
    logging.disable()
    ground = Ground(url)
    try:
        yield ground
    finally:
        ground.close()
        logging.disable(logging.NOTSET)


@contextmanager
def user_without(command: str | None, url: str) -> Iterator[str]:
    """The address for a user who may do anything but that; for the default one if it is None."""
    if command is None:
        yield url
        return
    user = f"without-{command}-{uuid4().hex}"
    redis: Any = Redis.from_url(url)
    rights = ["+@all", f"-{command}"]
    try:
        redis.acl_setuser(
            user, enabled=True, nopass=True, keys=["*"], channels=["*"], commands=rights
        )
    except ResponseError as error:
        redis.close()
        pytest.skip(f"nobody can be kept from it: {error}")  # an old server does not know it
    try:
        yield url.replace("://", f"://{user}:@", 1)
    finally:
        redis.acl_deluser(user)
        redis.close()
