"""SAQ: jobs in a Redis list; each concurrent slot sends one command at a time."""

import asyncio
from typing import Any

import orjson
from saq import Queue, Worker

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, WAIT, run_role


async def noop(ctx: Any) -> None:
    REPORTER.done()


async def wait(ctx: Any) -> None:
    await asyncio.sleep(WAIT)
    REPORTER.done()


async def stamp(ctx: Any, *, sent_ns: int) -> None:
    REPORTER.stamp(sent_ns)


async def work(order: Order) -> None:
    queue = await _queue(order)
    functions = [("noop", noop), ("wait", wait), ("stamp", stamp)]
    await Worker(queue, functions, concurrency=order.concurrency).start()


async def produce(order: Order) -> None:
    """Enqueue by concurrent calls. A negative `ttl` means that SAQ keeps no result."""
    queue, ttl = await _queue(order), 3600 if order.results else -1
    REPORTER.report(0)
    for size in order.batches(200):
        await asyncio.gather(*(queue.enqueue(order.job, ttl=ttl) for _ in range(size)))
    REPORTER.report(order.count)


async def ping(order: Order) -> None:
    queue = await _queue(order)
    async for sent_ns in order.send_times():
        await queue.enqueue("stamp", sent_ns=sent_ns)


async def _queue(order: Order) -> Queue:
    queue = Queue.from_url(
        order.url,
        dump=orjson.dumps,
        load=orjson.loads,
        max_concurrent_ops=max(order.concurrency, 20),
    )
    await queue.connect()
    return queue


if __name__ == "__main__":
    run_role(work=work, produce=produce, ping=ping)
