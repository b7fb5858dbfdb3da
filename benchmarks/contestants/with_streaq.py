"""streaQ: a Redis stream read in batches; each task ends with its own transaction."""

import asyncio
from typing import Final

from streaq import Worker

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import ORDER, REPORTER, WAIT, run_role

WORKER: Final = Worker(
    ORDER.url, concurrency=ORDER.concurrency, handle_signals=False, **ORDER.options
)
# silent: no log lines. A ttl of 0 means that streaQ keeps no result.
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
        REPORTER.report(0)
        for size in order.batches(1000):
            await WORKER.enqueue_many([task.enqueue() for _ in range(size)])
        REPORTER.report(order.count)


async def ping(order: Order) -> None:
    async with WORKER:
        async for sent_ns in order.send_times():
            await stamp.enqueue(sent_ns)


if __name__ == "__main__":
    run_role(work=work, produce=produce, ping=ping)
