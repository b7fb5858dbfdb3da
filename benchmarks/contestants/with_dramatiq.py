"""Dramatiq on Redis: synchronous actors in threads of one process."""

import asyncio
import os
import time
from typing import Final

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import ORDER, REPORTER, WAIT, run_role

# Dramatiq reads this variable when it is imported.
os.environ["dramatiq_queue_prefetch"] = str(ORDER.options.get("prefetch", 0))  # noqa: SIM112  # the name is dramatiq's

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

BROKER: Final = RedisBroker(url=ORDER.url)
if ORDER.results:
    BROKER.add_middleware(
        Results(backend=RedisBackend(url=ORDER.url), store_results=True, result_ttl=3_600_000)
    )
dramatiq.set_broker(BROKER)


@dramatiq.actor
def noop() -> None:
    REPORTER.done()


@dramatiq.actor
def wait() -> None:
    time.sleep(WAIT)
    REPORTER.done()


async def work(order: Order) -> None:
    """Run what `dramatiq --processes 1 --threads N` runs."""
    dramatiq.Worker(BROKER, worker_threads=order.concurrency).start()
    await asyncio.Event().wait()


async def produce(order: Order) -> None:
    actor = {"noop": noop, "wait": wait}[order.job]
    REPORTER.report(0)
    for _ in range(order.count):
        actor.send()
    REPORTER.report(order.count)


if __name__ == "__main__":
    run_role(work=work, produce=produce)
