"""Unmodified arq with a fast JSON serializer instead of pickle."""

import asyncio
import logging
from typing import Any

import arq.worker
import orjson
from arq.connections import ArqRedis, RedisSettings, create_pool

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, WAIT, run_role


async def noop(ctx: dict[str, Any]) -> None:
    REPORTER.done()


async def wait(ctx: dict[str, Any]) -> None:
    await asyncio.sleep(WAIT)
    REPORTER.done()


async def stamp(ctx: dict[str, Any], sent_ns: int) -> None:
    REPORTER.stamp(sent_ns)


async def work(order: Order) -> None:
    """Run a worker. Option `log`: write arq's default two log lines per job."""
    if order.options.get("log"):
        logging.getLogger("arq.worker").setLevel(logging.INFO)
    worker = arq.worker.Worker(
        [noop, wait, stamp],
        redis_settings=RedisSettings.from_dsn(order.url),
        handle_signals=False,
        max_jobs=order.concurrency,
        keep_result=3600 if order.results else 0,
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
        poll_delay=order.options.get("poll_delay", 0.5),
    )
    await worker.async_run()


async def produce(order: Order) -> None:
    """Enqueue by concurrent calls, as in arq's documentation."""
    async with await _pool(order) as pool:
        REPORTER.report(0)
        for size in order.batches(200):
            await asyncio.gather(*(pool.enqueue_job(order.job) for _ in range(size)))
        REPORTER.report(order.count)


async def ping(order: Order) -> None:
    async with await _pool(order) as pool:
        async for sent_ns in order.send_times():
            await pool.enqueue_job("stamp", sent_ns)


async def _pool(order: Order) -> ArqRedis:
    return await create_pool(
        RedisSettings.from_dsn(order.url),
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
    )


if __name__ == "__main__":
    run_role(work=work, produce=produce, ping=ping)
