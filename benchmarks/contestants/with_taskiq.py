"""taskiq-redis: a Redis list, from which a killed worker loses what it had taken, or with option
`stream` a stream."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from taskiq.receiver import Receiver
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import ORDER, REPORTER, WAIT, obey

CONNECTIONS: Final = 1000
"""More than jobs at once, so that none of them waits for one."""
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
    """What `taskiq worker --workers 1 --no-parse --no-propagate-errors` runs in its process."""
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
    REPORTER.say(0)
    for size in order.batches(200):
        await asyncio.gather(*(task.kiq() for _ in range(size)))
    REPORTER.say(order.count)


async def ping(order: Order) -> None:
    await BROKER.startup()
    async for moment in order.moments():
        await stamp.kiq(moment)


if __name__ == "__main__":
    obey(work=work, produce=produce, ping=ping)
