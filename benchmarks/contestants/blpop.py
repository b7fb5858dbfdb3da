"""The shortest way through Redis: a list, and a client that waits for its next element."""

from typing import Final

import redis.asyncio

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, obey

LIST: Final = "blpop"


async def work(order: Order) -> None:
    async with redis.asyncio.Redis.from_url(order.url) as client:
        while True:
            _, sent = await client.blpop([LIST])
            if sent == b"noop":
                REPORTER.done()
            else:
                REPORTER.stamp(int(sent))


async def produce(order: Order) -> None:
    async with redis.asyncio.Redis.from_url(order.url) as client:
        await client.rpush(LIST, *["noop"] * order.count)


async def ping(order: Order) -> None:
    async with redis.asyncio.Redis.from_url(order.url) as client:
        async for moment in order.moments():
            await client.rpush(LIST, moment)


if __name__ == "__main__":
    obey(work=work, produce=produce, ping=ping)
