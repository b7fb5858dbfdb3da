"""Random payloads: each job ends, and the worker runs the next one."""

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

QUEUE = "payload_tasks"


@job("payload.work", queue=QUEUE)
async def work(ctx: dict[str, Any], number: int) -> int:
    return number


class Payloads(EngineSettings):
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
    "f": values | st.just("payload.work"),
    "a": values | st.just([7]),
    "k": values | st.just({}),
    "et": values | st.just(1),
}
payloads = st.binary(max_size=60) | st.fixed_dictionaries(fields).map(
    lambda payload: json.dumps(payload).encode()
)


def payload(**fields: object) -> bytes:
    return json.dumps(
        {"t": None, "f": "payload.work", "a": [7], "k": {}, "et": 1} | fields
    ).encode()


async def run_with_payloads(redis_url: str, data: Sequence[bytes]) -> None:
    """Run jobs with these payloads and one good job; check that nothing is left in Redis."""
    async with await create_pool(redis_url) as pool:
        await pool.flushdb()
        for number, job_payload in enumerate(data):
            await pool.set(f"{JOB}{number}", job_payload)
            await pool.zadd(QUEUE, {str(number): 1})
        good = await pool.enqueue_job("payload.work", 7, _queue_name=QUEUE)
        assert good is not None
        redis = Address.of(redis_url).arq_settings()
        async with asyncio.timeout(20):
            await serve(create_worker(Payloads, redis_settings=redis, burst=True))
        assert await good.result(timeout=1) == 7
        assert not await left_behind(pool, [QUEUE])
        for dead_letter in await DeadLetterStore(pool).find():
            dead_letter.shown_arguments()


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
def test_worker_ends_each_payload_and_runs_the_next(redis_url: str, data: list[bytes]) -> None:
    asyncio.run(run_with_payloads(redis_url, data))
