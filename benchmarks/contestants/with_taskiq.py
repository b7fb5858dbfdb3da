"""taskiq-redis: a Redis list, whose jobs are lost with a killed worker; or a stream (option
`stream`)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from taskiq.receiver import Receiver
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import ORDER, REPORTER, WAIT, run_role

CONNECTIONS: Final = 1000
"""More than the concurrent jobs, so that no job waits for a connection."""
BROKER: Final = (RedisStreamBroker if ORDER.options.get("stream") else ListQueueBroker)(
    ORDER.url, max_connection_pool_size=CONNECTIONS
)
BROKER.with_serializer(ORJSONSerializer())
if ORDER.results:
    BROKER.with_result_backend(
        RedisAsyncResultBackend(
            ORDER.url,
            result_ex_time=3600,
            max_connection_pool_size=CONNECTIONS,
            serializer=ORJSONSerializer(),
        )
    )


@BROKER.task("noop")
async def noop() -> None:
    REPORTER.done()


@BROKER.task("wait")
async def wait() -> None:
    await asyncio.sleep(WAIT)
    REPORTER.done()


@BROKER.task("stamp")
async def stamp(sent_ns: int) -> None:
    REPORTER.stamp(sent_ns)


async def work(order: Order) -> None:
    """Run what `taskiq worker --workers 1 --no-parse --no-propagate-errors` runs."""
    BROKER.is_worker_process = True
    with ThreadPoolExecutor(1) as executor:
        receiver = Receiver(
            BROKER,
            executor,
            validate_params=False,
            propagate_exceptions=False,
            max_async_tasks=order.concurrency,
            max_prefetch=order.options.get("prefetch", 0),
        )
        await receiver.listen(asyncio.Event())


async def produce(order: Order) -> None:
    task = {"noop": noop, "wait": wait}[order.job]
    await BROKER.startup()
    REPORTER.report(0)
    for size in order.batches(200):
        await asyncio.gather(*(task.kiq() for _ in range(size)))
    REPORTER.report(order.count)


async def ping(order: Order) -> None:
    await BROKER.startup()
    async for sent_ns in order.send_times():
        await stamp.kiq(sent_ns)


if __name__ == "__main__":
    run_role(work=work, produce=produce, ping=ping)
