"""Workers that are replaced under load lose no job and use up no try."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from subprocess import Popen

from arq.jobs import Job
from arq.utils import timestamp_ms

from jobs.engine import JobRequest, Pool, read_stats
from jobs.engine.queue.inspection import left_behind
from jobs.engine.worker.classify import UNKNOWN_DELAY
from jobs.testing.waiting import wait_until
from tests.integration.scripted_settings import QUEUE
from tests.integration.workers import process

MAX_JOBS = 300


async def test_stop_with_hundreds_of_running_jobs_loses_none(pool: Pool, redis_url: str) -> None:
    jobs = await _enqueue(pool, 2 * MAX_JOBS, "chaos.work", 1.0)
    ids = {job.job_id for job in jobs}
    for round_ in (1, 2):
        with process(redis_url, "Chaos", "--max-jobs", str(MAX_JOBS), grace=0.1) as worker:
            await wait_until(partial(_have_started, pool, round_ * MAX_JOBS), timeout=30)
            await _stop(worker)
        assert await pool.zcount(QUEUE, 1, "+inf") == len(ids), "every job is queued again"
        for prefix in ("arq:in-progress:", "arq:retry:"):
            assert not [key async for key in pool.scan_iter(match=prefix + "*", count=1000)]
    with process(redis_url, "Chaos", "--max-jobs", str(2 * MAX_JOBS)):
        await wait_until(lambda: _is_empty(pool), timeout=30)
    ended = [job_id.decode() for job_id in await pool.lrange("ended", 0, -1)]  # type: ignore[misc]  # typed for both clients
    assert sorted(ended) == sorted(ids)
    assert {await _try_of(job) for job in jobs} == {1}
    stats = await read_stats(pool, QUEUE)
    assert (stats.done, stats.released, stats.retried) == (2 * MAX_JOBS, 2 * MAX_JOBS, 0)
    assert not await left_behind(pool, [QUEUE])


async def test_job_of_the_next_release_waits_for_its_worker(pool: Pool, redis_url: str) -> None:
    with process(redis_url, "Chaos") as old:
        jobs = await _enqueue(pool, 50, "chaos.newer")
        await wait_until(lambda: _deferred(pool, 50), timeout=30)
        known = await _enqueue(pool, 50, "chaos.wait", 0)
        assert {await job.result(timeout=10) for job in known} == {str(old.pid)}
        with process(redis_url, "Newer") as new:
            # Until it is stopped, the old worker claims some of the jobs and requeues them.
            await _due_or_done(pool)
            await _stop(old)
            await wait_until(lambda: _due_or_done(pool), timeout=30)
            assert {await job.result(timeout=10) for job in jobs} == {str(new.pid)}
    assert {await _try_of(job) for job in jobs} == {1}
    assert not await left_behind(pool, [QUEUE])


async def _enqueue(pool: Pool, count: int, name: str, *args: float) -> Sequence[Job]:
    jobs = await pool.enqueue_many([JobRequest(name, args, queue=QUEUE)] * count)
    return [job for job in jobs if job is not None]


async def _stop(worker: Popen[bytes]) -> None:
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 15) == 0


async def _have_started(pool: Pool, count: int) -> bool:
    number: int = await pool.llen("started")  # type: ignore[misc]  # typed for both clients
    return number >= count


async def _is_empty(pool: Pool) -> bool:
    return not await pool.zcard(QUEUE)


async def _deferred(pool: Pool, count: int) -> bool:
    return (await read_stats(pool, QUEUE)).scheduled == count


async def _due_or_done(pool: Pool) -> bool:
    """Make delayed jobs due; return whether the queue is empty."""
    queue = await pool.zrange(QUEUE, 0, -1, withscores=True)
    delayed = [job_id for job_id, due in queue if due > timestamp_ms()]
    for job_id in delayed:
        await pool.zincrby(QUEUE, -UNKNOWN_DELAY / timedelta(milliseconds=1), job_id)
    return not queue


async def _try_of(job: Job) -> int | None:
    info = await job.result_info()
    return None if info is None else info.job_try
