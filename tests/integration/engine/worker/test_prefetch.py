"""Prefetch of a worker with short jobs: other workers and other jobs see nothing of it."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from arq.connections import ArqRedis
from arq.worker import func

from jobs.engine import JobRequest, Outcome, Worker, create_pool, deserialize, serialize
from jobs.engine.queue.claim import Claim
from jobs.testing.waiting import wait_until
from tests.integration.workers import running

QUEUE = "arq:queue"
JOBS = 2000

_marked_by: ContextVar[str] = ContextVar("marked_by", default="nobody")


async def test_jobs_and_observers_run_in_separate_contexts(redis_url: str) -> None:
    """A job does not inherit the context of the job whose end made room for it."""
    marks = set()

    def observe(outcome: Outcome) -> None:
        marks.add(_marked_by.get())

    async def mark(ctx: dict[str, Any]) -> None:
        marks.add(_marked_by.get())
        _marked_by.set(ctx["job_id"])
        await asyncio.sleep(0)

    async with await create_pool(redis_url) as pool:
        await pool.enqueue_many([JobRequest("mark", queue=QUEUE)] * JOBS)
    worker = await worker_of(redis_url, mark, burst=True)
    worker.observers.append(observe)
    assert await worker.run_check() == JOBS
    await worker.close()
    assert marks == {"nobody"}


async def test_claim_that_waits_for_a_long_job_goes_to_another_worker(redis_url: str) -> None:
    done = asyncio.Event()
    tries: list[int] = []

    async def short(ctx: dict[str, Any]) -> None:
        pass

    async def long(ctx: dict[str, Any]) -> None:
        await done.wait()

    async def last(ctx: dict[str, Any]) -> None:
        tries.append(ctx["job_try"])

    async with await create_pool(redis_url) as pool:
        for name, number in (("short", JOBS), ("long", 2), ("last", 5)):
            await pool.enqueue_many([JobRequest(name, queue=QUEUE)] * number)
            await wait_a_millisecond(pool)
        busy, idle = [await worker_of(redis_url, short, long, last) for _ in range(2)]
        async with running(busy):
            await wait_until(lambda: busy.jobs_complete == JOBS and busy.requeued > 0)
            async with running(idle):
                await wait_until(lambda: len(tries) == 5)
            assert len(busy.tasks) == 2
            done.set()
            await wait_until(lambda: busy.jobs_complete == JOBS + 2)
        assert tries == [1] * 5
        assert await pool.zcard(QUEUE) == 0


async def test_stopped_worker_requeues_all_waiting_claims(redis_url: str) -> None:
    async def short(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(0)

    async with await create_pool(redis_url) as pool:
        await pool.enqueue_many([JobRequest("short", queue=QUEUE)] * JOBS)
        worker = await worker_of(redis_url, short)
        async with running(worker):
            await wait_until(lambda: worker.jobs_complete > JOBS // 4)
        remaining = await pool.zcard(QUEUE)
        assert remaining == await pool.zcount(QUEUE, 0, "+inf") == JOBS - worker.jobs_complete
        assert not await pool.keys("arq:in-progress:*")


class CountingWorker(Worker):
    """Worker that counts the claims it requeues without starting them."""

    requeued = 0

    def _release(self, claims: Sequence[Claim]) -> None:
        self.requeued += len(claims)
        super()._release(claims)


async def worker_of(url: str, *functions: Any, burst: bool = False) -> CountingWorker:
    return CountingWorker(
        [func(function, name=function.__name__) for function in functions],
        redis_pool=await create_pool(url),
        job_serializer=serialize,
        job_deserializer=deserialize,
        max_jobs=2,
        burst=burst,
    )


async def wait_a_millisecond(redis: ArqRedis) -> None:
    """Wait one millisecond of Redis, so that the next jobs are queued behind the earlier ones."""
    start = await _ms(redis)

    async def is_over() -> bool:
        return await _ms(redis) > start

    await wait_until(is_over)


async def _ms(redis: ArqRedis) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000
