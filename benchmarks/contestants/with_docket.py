"""docket: a Redis stream, and a record for each task that is kept for a time after its end."""

import asyncio
from datetime import timedelta

from docket import Docket, Worker

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, WAIT, obey


async def noop() -> None:
    REPORTER.done()


async def wait() -> None:
    await asyncio.sleep(WAIT)
    REPORTER.done()


async def stamp(sent_ns: int) -> None:
    REPORTER.stamp(sent_ns)


async def work(order: Order) -> None:
    """Option `check_ms`: for how long it sleeps when all its slots are taken."""
    check = timedelta(milliseconds=order.options.get("check_ms", 250))
    async with (
        _docket(order) as docket,
        Worker(docket, concurrency=order.concurrency, minimum_check_interval=check) as worker,
    ):
        await worker.run_forever()


async def produce(order: Order) -> None:
    async with _docket(order) as docket:
        REPORTER.say(0)
        for size in order.batches(1000):
            await docket.add_many([docket.call(order.job)() for _ in range(size)])
        REPORTER.say(order.count)


async def ping(order: Order) -> None:
    async with _docket(order) as docket:
        async for moment in order.moments():
            await docket.add(stamp)(moment)


def _docket(order: Order) -> Docket:
    kept = timedelta(hours=1) if order.results else timedelta(0)
    # redis-py allows 100 connections by default, and docket does not wait for one.
    docket = Docket(url=f"{order.url}?max_connections=1000", execution_ttl=kept)
    for function in (noop, wait, stamp):
        docket.register(function)
    return docket


if __name__ == "__main__":
    obey(work=work, produce=produce, ping=ping)
