"""docket: a Redis stream, and a record per task that is kept after the task ends."""

import asyncio
from datetime import timedelta

from docket import Docket, Worker

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, WAIT, run_role


async def noop() -> None:
    REPORTER.done()


async def wait() -> None:
    await asyncio.sleep(WAIT)
    REPORTER.done()


async def stamp(sent_ns: int) -> None:
    REPORTER.stamp(sent_ns)


async def work(order: Order) -> None:
    """Run a worker. Option `check_ms`: interval of checks for free capacity."""
    check = timedelta(milliseconds=order.options.get("check_ms", 250))
    async with (
        _docket(order) as docket,
        Worker(docket, concurrency=order.concurrency, minimum_check_interval=check) as worker,
    ):
        await worker.run_forever()


async def produce(order: Order) -> None:
    async with _docket(order) as docket:
        REPORTER.report(0)
        for size in order.batches(1000):
            await docket.add_many([docket.call(order.job)() for _ in range(size)])
        REPORTER.report(order.count)


async def ping(order: Order) -> None:
    async with _docket(order) as docket:
        async for sent_ns in order.send_times():
            await docket.add(stamp)(sent_ns)


def _docket(order: Order) -> Docket:
    kept = timedelta(hours=1) if order.results else timedelta(0)
    # redis-py allows 100 connections by default, and docket does not wait for a free connection.
    docket = Docket(url=f"{order.url}?max_connections=1000", execution_ttl=kept)
    for function in (noop, wait, stamp):
        docket.register(function)
    return docket


if __name__ == "__main__":
    run_role(work=work, produce=produce, ping=ping)
