"""Workers that are lost, late, stopped, or without Redis for a while."""

import asyncio
import time
from contextlib import aclosing
from functools import partial
from typing import Any

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from arq.worker import func

from jobs.engine import (
    Worker,
)
from jobs.testing.waiting import wait_until
from tests.defects.kinds import Kind, hang, is_busy, quick, result_of
from tests.integration.workers import connect, own_redis, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


async def test_a_lost_workers_job_runs_again_within_two_leases(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 1: it waits for the longest timeout of any function."""
    token = b"1" if kind is arq.worker.Worker else b"lost:1"
    lost = await redis.enqueue_job("quick", _job_id="lost")
    options: dict[str, Any] = {} if kind is arq.worker.Worker else {"lease": 0.5}
    worker = kind([quick], redis_pool=await connect(redis_url), poll_delay=0.05, **options)
    # As a worker of this kind that lost its power has left it.
    lasts = worker.in_progress_timeout_s if kind is arq.worker.Worker else 0.5
    await redis.set("arq:in-progress:lost", token, px=round(lasts * 1000))
    if kind is Worker:
        await redis.zadd("arq:queue", {"lost": -time.time() * 1000})
    async with running(worker):
        assert await result_of(lost) == "done"


async def test_a_late_finish_of_a_job_that_runs_elsewhere_is_refused(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 2: the in-progress key has no owner, so both of two workers finish a job."""
    go = asyncio.Event()

    async def wait(ctx: dict[str, Any]) -> str:
        await go.wait()
        return "late"

    worker = kind([func(wait, name="wait")], redis_pool=await connect(redis_url), poll_delay=0.05)
    async with running(worker):
        job = await redis.enqueue_job("wait", _job_id="x")
        await wait_until(lambda: worker.tasks)
        await redis.set("arq:in-progress:x", "someone:1", px=60_000)
        go.set()
        await wait_until(lambda: not is_busy(worker))
        await asyncio.sleep(0.1)
        assert job is not None
        assert await job.status() == JobStatus.in_progress
        assert await redis.get("arq:in-progress:x") == b"someone:1"


async def test_a_worker_outlives_an_outage_of_redis(kind: Kind) -> None:
    """Defect 7: it kills the worker."""
    go = asyncio.Event()

    async def wait(ctx: dict[str, Any]) -> str:
        await go.wait()
        return "done"

    async with own_redis() as server:
        redis = await connect(server.url)
        worker = kind([quick, func(wait, name="wait")], redis_pool=await connect(server.url))
        async with aclosing(redis), running(worker):
            job = await redis.enqueue_job("wait")
            await wait_until(lambda: worker.tasks)
            server.kill()
            go.set()
            assert worker.main_task is not None
            await asyncio.wait([worker.main_task], timeout=2)
            server.start()
            await server.ready()
            assert await result_of(job, timeout=10) == "done"
            assert await result_of(await redis.enqueue_job("quick"), timeout=10) == "done"


async def test_a_deploy_costs_no_try(kind: Kind, redis: ArqRedis, redis_url: str) -> None:
    """Defect 10: the try counter goes up at the start."""
    await redis.enqueue_job("hang", _job_id="x")
    for _ in range(3):
        worker = kind([hang], redis_pool=await connect(redis_url))
        async with running(worker):
            await wait_until(partial(is_busy, worker))
            await asyncio.sleep(0.05)
    assert not await redis.exists("arq:retry:x")
    assert await Job("x", redis).status() == JobStatus.queued
