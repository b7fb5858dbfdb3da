"""A worker that is fed with anything: each payload ends, and the worker goes on."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.engine import EngineSettings, job
from jobs.engine.bootstrap.workers import create_worker, serve
from jobs.engine.client.pools import create_pool
from jobs.engine.connection.urls import Address
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.engine.queue.inspection import left_behind
from jobs.engine.queue.keys import JOB

QUEUE = "fed_tasks"


@job("fed.work", queue=QUEUE)
async def work(ctx: dict[str, Any], number: int) -> int:
    return number


class Fed(EngineSettings):
    queue_name = QUEUE
    functions = (work,)
    requeue_unknown = False


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["$bytes", "$error"]), inner)
    ),
    max_leaves=6,
)
fields = {
    "t": values | st.none(),
    "f": values | st.just("fed.work"),
    "a": values | st.just([7]),
    "k": values | st.just({}),
    "et": values | st.just(1),
}
payloads = st.binary(max_size=60) | st.fixed_dictionaries(fields).map(
    lambda payload: json.dumps(payload).encode()
)


def payload(**fields: object) -> bytes:
    return json.dumps({"t": None, "f": "fed.work", "a": [7], "k": {}, "et": 1} | fields).encode()


async def fed(redis_url: str, data: Sequence[bytes]) -> None:
    async with await create_pool(redis_url) as pool:
        await pool.flushdb()
        for number, one in enumerate(data):
            await pool.set(f"{JOB}{number}", one)
            await pool.zadd(QUEUE, {str(number): 1})
        good = await pool.enqueue_job("fed.work", 7, _queue_name=QUEUE)
        assert good is not None
        redis = Address.of(redis_url).arq_settings()
        async with asyncio.timeout(20):
            await serve(create_worker(Fed, redis_settings=redis, burst=True))
        assert await good.result(timeout=1) == 7
        assert not await left_behind(pool, [QUEUE])
        for letter in await DeadLetterStore(pool).find():
            letter.shown_arguments()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(payloads, min_size=10, max_size=40))
@example(
    [
        b"",
        b"[]",
        payload(et="soon"),
        payload(et=None),
        payload(et=-(2**60)),
        payload(et=2**60),
        payload(et=1.5),
        payload(et={}),
        payload(f=[]),
        payload(f=None),
        payload(f={}),
        payload(k=5),
        payload(k=[["number", 7]]),
        payload(a=5),
        payload(a={"number": 7}),
        payload(a=None),
        payload(t="first"),
        payload(t=2**60),
        payload(t=[]),
        payload(t=1.5),
    ]
)
def test_the_worker_ends_each_and_goes_on(redis_url: str, data: list[bytes]) -> None:
    asyncio.run(fed(redis_url, data))
