"""Lower bound of the latency: a Redis list and a blocking client."""

from typing import Final

import redis.asyncio

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, run_role

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
        async for sent_ns in order.send_times():
            await client.rpush(LIST, sent_ns)


if __name__ == "__main__":
    run_role(work=work, produce=produce, ping=ping)
