"""A connection that is lost in the midst of a command, on either event loop."""

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
def test_a_command_on_a_lost_connection_is_an_outage(
    loop: Callable[[], asyncio.AbstractEventLoop], redis_url: str
) -> None:
    async def lose_it() -> None:
        ours = Address.of(redis_url).connections()
        connection = await ours.get_connection()
        for one in (connection, make_connection(ConnectionPool.from_url(redis_url), protocol=2)):
            await one.connect()
            assert one._writer is not None
            one._writer.transport.abort()
            for _ in range(3):  # until it is gone for good
                await asyncio.sleep(0)
            with pytest.raises(RedisConnectionError):
                await one.send_command("PING")
        await ours.disconnect()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(lose_it())


def test_a_kind_of_connection_is_wrapped_once() -> None:
    wrapped = reporting_class(ConnectionPool().connection_class)
    assert reporting_class(wrapped) is wrapped
