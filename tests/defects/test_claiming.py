"""Which jobs a worker claims, and when."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from arq.worker import func

from jobs.engine import (
    Worker,
)
from jobs.engine.bootstrap.workers import create_worker
from jobs.testing.waiting import wait_until
from tests.defects.kinds import POOLS, Kind, PoolOf, hang, quick, result_of
from tests.integration.workers import connect, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


async def test_running_jobs_do_not_hide_the_ones_behind_them(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 3: running ids stay at the head of the queue, where an idle worker reads."""
    for _ in range(110):
        await redis.enqueue_job("hang")
    busy = kind([hang], redis_pool=await connect(redis_url), max_jobs=110)
    idle = kind([quick, hang], redis_pool=await connect(redis_url), max_jobs=10)
    async with running(busy):
        await wait_until(lambda: len(busy.tasks) == 110)
        async with running(idle):
            assert await result_of(await redis.enqueue_job("quick")) == "done"


async def test_an_idle_worker_starts_a_job_at_once(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 4: it polls every half second."""
    delays = []
    worker = kind([quick], redis_pool=await connect(redis_url))
    async with running(worker):
        for number in range(5):
            job = await redis.enqueue_job("quick", _job_id=str(number))
            await result_of(job)
            info = await job.result_info() if job else None
            assert info is not None
            delays.append((info.start_time - info.enqueue_time).total_seconds())
            await asyncio.sleep(0.15)
    assert sorted(delays)[2] < 0.05


@pytest.mark.parametrize("pool_of", POOLS)
async def test_a_result_is_there_soon_after_its_job(
    pool_of: PoolOf, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 4: its `Job.result()` polls every half second too."""

    async def brief(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(0.02)

    producer = await pool_of(redis_url)
    worker = Worker([func(brief, name="brief")], redis_pool=await connect(redis_url))
    async with aclosing(producer), running(worker):
        producer.job_serializer = producer.job_deserializer = None
        job = await producer.enqueue_job("brief", _queue_name="arq:queue")
        assert job is not None
        await job.result(timeout=3)
        info = await job.result_info()
        assert info is not None
        assert datetime.now(UTC) - info.finish_time < timedelta(seconds=0.25)


async def test_a_job_of_a_newer_release_is_not_lost(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 12: an unknown function deletes the job."""
    options: dict[str, Any] = {"requeue_unknown": True} if kind is Worker else {}
    await redis.enqueue_job("newer", _job_id="x")
    worker = kind([quick], redis_pool=await connect(redis_url), **options)
    async with running(worker):
        assert await result_of(await redis.enqueue_job("quick")) == "done"
        await asyncio.sleep(0.05)
    assert await Job("x", redis).status() == JobStatus.deferred


async def test_one_worker_serves_several_queues(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 19: one queue a worker."""
    options: dict[str, Any] = {"queues": ["a", "b"]}
    worker = kind([quick], redis_pool=await connect(redis_url), **options)
    async with running(worker):
        for queue in ("a", "b"):
            assert await result_of(await redis.enqueue_job("quick", _queue_name=queue)) == "done"


async def test_the_queues_of_several_settings_classes(redis: ArqRedis, redis_url: str) -> None:
    """Defect 19: one queue a worker."""

    class A:
        queue_name = "a"
        functions = (quick,)

    class B:
        queue_name = "b"
        functions = (hang, func(quick, name="other"))

    worker = create_worker(A, B, redis_pool=await connect(redis_url))
    async with running(worker):
        assert await result_of(await redis.enqueue_job("quick", _queue_name="a")) == "done"
        assert await result_of(await redis.enqueue_job("other", _queue_name="b")) == "done"
