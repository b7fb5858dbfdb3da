"""streaQ: a Redis stream, read by the batch; each task is finished by a transaction of its own."""

import asyncio
from typing import Final

from streaq import Worker

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import ORDER, REPORTER, WAIT, obey

WORKER: Final = Worker(
    ORDER.url, concurrency=ORDER.concurrency, handle_signals=False, **ORDER.options
)
# silent: no log lines. A ttl of 0 is streaQ's way of keeping no result.
TASK: Final = WORKER.task(silent=True, ttl=3600 if ORDER.results else 0)


@TASK
async def noop() -> None:
    REPORTER.done()


@TASK
async def wait() -> None:
    await asyncio.sleep(WAIT)
    REPORTER.done()


@TASK
async def stamp(sent_ns: int) -> None:
    REPORTER.stamp(sent_ns)


async def work(order: Order) -> None:
    await WORKER.run_async()


async def produce(order: Order) -> None:
    task = {"noop": noop, "wait": wait}[order.job]
    async with WORKER:
        REPORTER.say(0)
        for size in order.batches(1000):
            await WORKER.enqueue_many([task.enqueue() for _ in range(size)])
        REPORTER.say(order.count)


async def ping(order: Order) -> None:
    async with WORKER:
        async for moment in order.moments():
            await stamp.enqueue(moment)


if __name__ == "__main__":
    obey(work=work, produce=produce, ping=ping)
