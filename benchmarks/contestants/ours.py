"""This project's engine, with JSON, leases, fencing, dead letters and outcome counters."""

import asyncio
from typing import Any, Final

from arq.connections import RedisSettings

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, WAIT, run_role
from jobs.engine import JobRequest, Pool, Worker, create_pool, deserialize, serialize
from jobs.engine.monitoring.outcome_log import OutcomeLog
from jobs.logs import configure

QUEUE: Final = "arq:queue"
KEEP: Final = 3600.0


async def noop(ctx: dict[str, Any]) -> None:
    REPORTER.done()


async def wait(ctx: dict[str, Any]) -> None:
    await asyncio.sleep(WAIT)
    REPORTER.done()


async def stamp(ctx: dict[str, Any], sent_ns: int) -> None:
    REPORTER.stamp(sent_ns)


async def work(order: Order) -> None:
    """Run a worker. Option `log`: write the default log line per job of `ringline worker`."""
    log = order.options.get("log")
    if log:
        configure("INFO", "json")
    worker = Worker(
        [noop, wait, stamp],
        redis_settings=RedisSettings.from_dsn(order.url),
        handle_signals=False,
        max_jobs=order.concurrency,
        keep_result=KEEP if order.results else 0,
        job_serializer=serialize,
        job_deserializer=deserialize,
        dead_letters=True,
        counters=True,
        observers=[OutcomeLog()] if log else [],
    )
    await worker.main()


async def produce(order: Order) -> None:
    """Enqueue by `enqueue_many`, or with option `gathered` by concurrent calls as with arq."""
    async with await _pool(order) as pool:
        REPORTER.report(0)
        if order.options.get("gathered"):
            for size in order.batches(200):
                await asyncio.gather(
                    *(pool.enqueue_job(order.job, _queue_name=QUEUE) for _ in range(size))
                )
        else:
            for size in order.batches(50_000):
                await pool.enqueue_many([JobRequest(order.job, queue=QUEUE)] * size)
        REPORTER.report(order.count)


async def ping(order: Order) -> None:
    async with await _pool(order) as pool:
        async for sent_ns in order.send_times():
            await pool.enqueue_job("stamp", sent_ns, _queue_name=QUEUE)


async def defer(order: Order) -> None:
    """Enqueue jobs that are due in an hour."""
    async with await _pool(order) as pool:
        request = JobRequest(order.job, queue=QUEUE, defer_by=3600)
        await pool.enqueue_many([request] * order.count)


async def _pool(order: Order) -> Pool:
    return await create_pool(order.url)


if __name__ == "__main__":
    run_role(work=work, produce=produce, ping=ping, defer=defer)
