"""How a job ends, and what that does to its worker and to other jobs."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.constants import abort_job_max_age
from arq.jobs import Job
from arq.worker import Retry, func

from jobs.engine import (
    DeadLetterStore,
    Worker,
    create_pool,
    deserialize,
    job,
    retry,
    serialize,
)
from jobs.testing.waiting import wait_until
from tests.defects.kinds import Kind, quick, result_of
from tests.integration.workers import connect, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


async def test_results_kept_for_ever_with_retries_exhausted(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 5: `SET … PX 0` is refused; the job is gone, and the worker dies."""

    async def again(ctx: dict[str, Any]) -> None:
        raise Retry

    job = await redis.enqueue_job("again")
    worker = kind(
        [func(again, name="again", max_tries=1)],
        redis_pool=await connect(redis_url),
        keep_result_forever=True,
    )
    async with running(worker):
        with pytest.raises(arq.worker.JobExecutionFailed, match="max 1 retries"):
            await result_of(job)


async def test_a_hook_that_raises_ends_neither_job_nor_worker(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 6: it kills the worker."""

    async def broken(ctx: dict[str, Any]) -> None:
        raise RuntimeError("the hook is broken")

    worker = kind(
        [quick],
        redis_pool=await connect(redis_url),
        poll_delay=0.05,
        on_job_start=broken,
        on_job_end=broken,
        after_job_end=broken,
    )
    async with running(worker):
        for _ in range(2):
            assert await result_of(await redis.enqueue_job("quick")) == "done"


async def test_aborting_an_unknown_id_harms_no_later_job(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 8: it kills the next job of that id."""
    assert not await Job("x", redis).abort(timeout=1, poll_delay=0.01)
    await asyncio.sleep(0.01)
    worker = kind([quick], redis_pool=await connect(redis_url), allow_abort_jobs=True)
    async with running(worker):
        assert await result_of(await redis.enqueue_job("quick", _job_id="x")) == "done"


async def test_what_was_asked_of_an_unknown_id_is_forgotten_in_time(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 8: the purge looks for what will be asked in days to come."""
    await redis.zadd("arq:abort", {"long ago": (time.time() - 2 * abort_job_max_age) * 1000})
    worker = kind([quick], redis_pool=await connect(redis_url), allow_abort_jobs=True)
    async with running(worker):
        await wait_until(lambda: _is_gone(redis, "arq:abort"), timeout=2)


async def _is_gone(redis: ArqRedis, key: str) -> bool:
    return not await redis.exists(key)


async def test_errors_are_retried_and_the_last_one_is_kept(kind: Kind, redis_url: str) -> None:
    """Defect 9: any other exception than Retry ends a job, and nobody is told."""
    options: dict[str, Any] = {"dead_letters": True} if kind is Worker else {}
    pool = await create_pool(redis_url)
    await pool.enqueue_job("defects.fail", _job_id="x", _queue_name="arq:queue")
    worker = kind(
        [fail if kind is Worker else func(fail_as_in_arq, name="defects.fail")],
        redis_pool=pool,
        poll_delay=0.01,
        job_serializer=serialize,
        job_deserializer=deserialize,
        **options,
    )
    async with running(worker):
        await wait_until(lambda: worker.jobs_failed)
        letter = await wait_until(lambda: DeadLetterStore(pool).get("x"), timeout=1)
        assert letter is not None
        assert letter.tries == 2
        assert worker.jobs_retried == 1


async def fail_as_in_arq(ctx: dict[str, Any]) -> None:
    raise ValueError("no")


@job("defects.fail")
@retry(max_retries=1, delay=0.01)
async def fail(ctx: dict[str, Any]) -> None:
    raise ValueError("no")


async def test_a_retrying_job_does_not_expire_while_it_waits(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 11: after a day."""

    async def later(ctx: dict[str, Any]) -> None:
        raise Retry(defer=timedelta(hours=30))

    await redis.enqueue_job("later", _job_id="x")
    worker = kind([func(later, name="later")], redis_pool=await connect(redis_url))
    async with running(worker):
        await wait_until(lambda: worker.jobs_retried)
        await asyncio.sleep(0.05)
    assert await redis.ttl("arq:job:x") > timedelta(hours=30).total_seconds()


async def test_an_explicit_expiry_stays_a_deadline(redis: ArqRedis, redis_url: str) -> None:
    """Defect 11: after a day."""

    async def later(ctx: dict[str, Any]) -> None:
        raise Retry(defer=timedelta(hours=30))

    await redis.enqueue_job("later", _job_id="x", _expires=timedelta(hours=2))
    worker = Worker([func(later, name="later")], redis_pool=await connect(redis_url))
    async with running(worker):
        await wait_until(lambda: worker.jobs_retried)
        await asyncio.sleep(0.05)
    assert await redis.ttl("arq:job:x") <= timedelta(hours=2).total_seconds()
