"""Celery on Redis: synchronous tasks in one process."""

import time
from typing import Final

from celery import Celery

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import ORDER, REPORTER, WAIT, run_role

# A producer with a result backend would subscribe to each result, so it gets none.
APP: Final = Celery(
    "benchmark",
    broker=ORDER.url,
    backend=ORDER.url if ORDER.results and ORDER.role == "work" else None,
)
APP.conf.update(
    task_ignore_result=not ORDER.results,
    result_expires=3600,
    worker_prefetch_multiplier=ORDER.options.get("prefetch", 0),
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@APP.task(name="noop")
def noop() -> None:
    REPORTER.done()


@APP.task(name="wait")
def wait() -> None:
    time.sleep(WAIT)
    REPORTER.done()


async def work(order: Order) -> None:
    APP.worker_main(
        [
            "worker",
            f"--pool={order.options.get('pool', 'solo')}",
            f"--concurrency={order.concurrency}",
            "--loglevel=ERROR",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


async def produce(order: Order) -> None:
    task = {"noop": noop, "wait": wait}[order.job]
    with APP.producer_pool.acquire(block=True) as producer:
        REPORTER.report(0)
        for _ in range(order.count):
            task.apply_async(producer=producer)
        REPORTER.report(order.count)


if __name__ == "__main__":
    run_role(work=work, produce=produce)
