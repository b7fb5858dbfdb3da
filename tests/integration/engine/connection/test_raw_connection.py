"""Commands on a lost connection, on both event loops."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.engine.connection.raw_connection import make_connection, reporting_class
from jobs.engine.connection.urls import Address

LOOPS = (asyncio.new_event_loop, uvloop.new_event_loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_command_on_a_lost_connection_raises_connection_error(
    loop: Callable[[], asyncio.AbstractEventLoop], redis_url: str
) -> None:
    async def check() -> None:
        pool = Address.of(redis_url).connections()
        pooled = await pool.get_connection()
        raw = make_connection(ConnectionPool.from_url(redis_url), protocol=2)
        for connection in (pooled, raw):
            await connection.connect()
            assert connection._writer is not None
            connection._writer.transport.abort()
            for _ in range(3):  # until the transport is closed
                await asyncio.sleep(0)
            with pytest.raises(RedisConnectionError):
                await connection.send_command("PING")
        await pool.disconnect()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(check())


def test_connection_class_is_wrapped_once() -> None:
    wrapped = reporting_class(ConnectionPool().connection_class)
    assert reporting_class(wrapped) is wrapped
