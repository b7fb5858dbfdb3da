"""Worker and real Redis: features of arq's worker, and jobs that fail in various ways."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus, deserialize_job
from arq.worker import FailedJobs, JobExecutionFailed, Retry, func

from jobs.engine import (
    DeadLetterStore,
    Outcome,
    OutcomeKind,
    Worker,
    deserialize,
    read_stats,
    serialize,
)
from jobs.engine.bootstrap.workers import serve
from jobs.engine.queue import keys
from jobs.engine.queue.claim import MAX_EXPIRED_LEASES
from jobs.testing.waiting import wait_until
from tests.integration.workers import connect, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")
"""arq's worker closes its pool by the deprecated method."""

FOREVER = 3600


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    pool = await connect(redis_url)
    yield pool
    await pool.aclose(close_connection_pool=True)


@pytest.fixture
async def pool(redis_url: str) -> ArqRedis:
    """Return a pool for a worker, which closes it."""
    return await connect(redis_url)


async def double(ctx: dict[str, Any], number: int) -> int:
    return 2 * number


async def fail(ctx: dict[str, Any]) -> None:
    raise ValueError("call +14155550123 back")


async def hang(ctx: dict[str, Any]) -> None:
    await asyncio.sleep(FOREVER)


async def test_burst_runs_thousands_of_jobs(redis: ArqRedis, pool: ArqRedis) -> None:
    jobs = await asyncio.gather(*[redis.enqueue_job("double", number) for number in range(2000)])
    worker = Worker([double], redis_pool=pool, burst=True, max_jobs=100)
    assert await worker.run_check() == 2000
    results = await asyncio.gather(*[job.result(timeout=1) for job in jobs if job])
    assert results == [2 * number for number in range(2000)]
    await worker.close()
    assert await redis.zcard("arq:queue") == 0


async def test_idle_worker_starts_a_job_of_an_arq_pool_at_once(
    redis: ArqRedis, pool: ArqRedis
) -> None:
    worker = Worker([double], redis_pool=pool, poll_delay=30)
    async with running(worker):
        await wait_until(lambda: worker.ctx.get("redis"))
        for number in range(3):
            job = await redis.enqueue_job("double", number)
            assert job is not None
            assert await job.result(timeout=5, poll_delay=0.01) == 2 * number


async def test_deferred_jobs_start_when_they_are_due(redis: ArqRedis, pool: ArqRedis) -> None:
    worker = Worker([double], redis_pool=pool, poll_delay=30)
    async with running(worker):
        job = await redis.enqueue_job("double", 1, _defer_by=0.3)
        assert job is not None
        assert await job.status() == JobStatus.deferred
        assert await job.result(timeout=5, poll_delay=0.01) == 2
        info = await job.result_info()
        assert info is not None
        waited = (info.start_time - info.enqueue_time).total_seconds()
        assert 0.3 <= waited < 1


async def test_retry_runs_after_its_delay(redis: ArqRedis, pool: ArqRedis) -> None:
    tries: list[int] = []

    async def stubborn(ctx: dict[str, Any]) -> str:
        tries.append(ctx["job_try"])
        if len(tries) < 3:
            raise Retry(defer=0.05)
        return "done"

    worker = Worker([func(stubborn, name="stubborn")], redis_pool=pool, poll_delay=30)
    async with running(worker):
        job = await redis.enqueue_job("stubborn")
        assert job is not None
        assert await job.result(timeout=5, poll_delay=0.01) == "done"
    assert tries == [1, 2, 3]
    assert not await redis.keys("arq:retry:*")


async def test_running_job_is_in_progress_for_arqs_job_objects(
    redis: ArqRedis, pool: ArqRedis
) -> None:
    worker = Worker([hang], redis_pool=pool, allow_abort_jobs=True, poll_delay=0.05)
    async with running(worker):
        job = await redis.enqueue_job("hang")
        assert job is not None
        await wait_until(lambda: worker.tasks)
        assert await job.status() == JobStatus.in_progress
        assert await job.abort(timeout=5, poll_delay=0.01)
        assert await job.status() == JobStatus.complete
    assert not await redis.exists("arq:abort")


async def test_timeout_fails_the_job_as_in_arq(redis: ArqRedis, pool: ArqRedis) -> None:
    job = await redis.enqueue_job("hang")
    assert job is not None
    worker = Worker([func(hang, timeout=0.05)], redis_pool=pool, burst=True)
    with pytest.raises(FailedJobs, match="TimeoutError"):
        await worker.run_check()
    await worker.close()


async def test_result_that_cannot_be_serialized_harms_no_other_job(
    redis: ArqRedis, pool: ArqRedis
) -> None:
    async def awkward(ctx: dict[str, Any]) -> object:
        return lambda: None

    await redis.enqueue_job("awkward", _job_id="awkward")
    good = [await redis.enqueue_job("double", number) for number in range(10)]
    worker = Worker([double, func(awkward, name="awkward")], redis_pool=pool, burst=True)
    await worker.main()
    assert [await job.result(timeout=1) for job in good if job] == [2 * n for n in range(10)]
    info = await Job("awkward", redis).result_info()
    assert info is not None
    assert not info.success
    await worker.close()


async def test_several_queues_are_served_in_turn(redis: ArqRedis, pool: ArqRedis) -> None:
    order: list[str] = []

    async def note(ctx: dict[str, Any], queue: str) -> None:
        order.append(queue)

    for _ in range(20):
        await redis.enqueue_job("note", "a", _queue_name="a")
    for _ in range(5):
        await redis.enqueue_job("note", "b", _queue_name="b")
    worker = Worker(
        [func(note, name="note")], redis_pool=pool, queues=["a", "b"], burst=True, max_jobs=2
    )
    assert await worker.run_check() == 25
    assert order[:10].count("b") >= 4
    await worker.close()


async def test_enabled_dead_letters_counters_and_outcomes_are_recorded(redis_url: str) -> None:
    pool = await connect(redis_url)
    pool.job_serializer, pool.job_deserializer = serialize, deserialize
    outcomes: list[Outcome] = []
    await pool.enqueue_job("fail", _job_id="bad")
    await pool.enqueue_job("double", 4, _job_id="good")
    worker = Worker(
        [double, fail],
        redis_pool=pool,
        burst=True,
        job_serializer=serialize,
        job_deserializer=deserialize,
        dead_letters=True,
        counters=True,
        observers=[outcomes.append],
    )
    await worker.main()
    dead_letter = await DeadLetterStore(pool).get("bad")
    assert dead_letter is not None
    assert dead_letter.function == "fail"
    assert (dead_letter.error_class, dead_letter.tries) == ("ValueError", 1)
    assert "4155550123" not in dead_letter.message
    assert {(outcome.job_id, outcome.kind) for outcome in outcomes} == {
        ("bad", OutcomeKind.DEAD),
        ("good", OutcomeKind.DONE),
    }
    stats = await read_stats(pool, "arq:queue")
    assert (stats.done, stats.dead, stats.length) == (1, 1, 0)
    await worker.close()


async def test_unknown_function_is_requeued_for_newer_workers(
    redis: ArqRedis, redis_url: str
) -> None:
    job = await redis.enqueue_job("double", 21)
    assert job is not None
    old = Worker([fail], redis_pool=await connect(redis_url), requeue_unknown=True)
    async with running(old):
        await wait_until(lambda: _is_deferred(job))
    assert not await redis.exists(f"arq:retry:{job.job_id}")
    await redis.zadd("arq:queue", {job.job_id: 1})
    new = Worker([double], redis_pool=await connect(redis_url), burst=True)
    assert await new.run_check() == 1
    assert not await redis.exists("ringline:lost")
    await new.close()


async def _is_deferred(job: Job) -> bool:
    return await job.status() == JobStatus.deferred


async def test_unknown_function_fails_after_its_last_requeue(
    redis: ArqRedis, pool: ArqRedis
) -> None:
    await redis.enqueue_job("missing", _job_id="x")
    await redis.hset("ringline:lost", mapping={"unknown:x": 30})  # type: ignore[misc]  # both clients
    worker = Worker([double], redis_pool=pool, requeue_unknown=True, burst=True)
    with pytest.raises(FailedJobs, match="'missing' not found"):
        await worker.run_check()
    await worker.close()


async def test_shutdown_requeues_jobs_without_using_a_try(redis: ArqRedis, redis_url: str) -> None:
    job = await redis.enqueue_job("hang", _job_id="long")
    assert job is not None
    before = await redis.zscore("arq:queue", "long")
    worker = Worker([hang], redis_pool=await connect(redis_url))
    async with running(worker):
        await wait_until(lambda: worker.tasks)
        assert await redis.zscore("arq:queue", "long") == -(before or 0)
    assert await redis.zscore("arq:queue", "long") == before
    assert not await redis.exists("arq:retry:long", "arq:in-progress:long")
    payload = await redis.get("arq:job:long")
    assert deserialize_job(payload).function == "hang"


async def test_grace_period_of_a_shutdown_lets_short_jobs_end(
    redis: ArqRedis, redis_url: str
) -> None:
    release = asyncio.Event()

    async def wait(ctx: dict[str, Any]) -> str:
        await release.wait()
        return "done"

    job = await redis.enqueue_job("wait")
    worker = Worker(
        [func(wait, name="wait")], redis_pool=await connect(redis_url), job_completion_wait=30
    )
    async with running(worker):
        await wait_until(lambda: worker.tasks)
        worker.handle_sig_wait_for_completion(signal.SIGTERM)
        await redis.enqueue_job("wait", _job_id="too late")
        release.set()
        assert job is not None
        assert await job.result(timeout=5, poll_delay=0.01) == "done"
    assert await Job("too late", redis).status() == JobStatus.queued


async def test_signal_before_the_worker_runs_stops_it(redis: ArqRedis, redis_url: str) -> None:
    job = await redis.enqueue_job("double", 1)
    assert job is not None
    worker = Worker([double], redis_pool=await connect(redis_url), job_completion_wait=5)
    worker.handle_sig_wait_for_completion(signal.SIGTERM)
    await asyncio.wait_for(serve(worker), 5)
    assert await job.status() == JobStatus.queued


async def test_expired_job_overwrites_no_result(redis: ArqRedis, pool: ArqRedis) -> None:
    job = await redis.enqueue_job("double", 2, _job_id="x")
    assert job is not None
    worker = Worker([double], redis_pool=pool, burst=True)
    await worker.main()
    await redis.zadd("arq:queue", {"x": 1})
    await worker.main()
    assert await job.result(timeout=1) == 4
    await worker.close()


async def test_arqs_worker_shares_a_queue_with_ours(redis: ArqRedis, redis_url: str) -> None:
    jobs = [await redis.enqueue_job("double", number) for number in range(50)]
    worker = Worker([double], redis_pool=await connect(redis_url), max_jobs=5)
    arq_worker = arq.worker.Worker([double], redis_pool=await connect(redis_url), max_jobs=5)
    async with running(worker), running(arq_worker):
        results = await asyncio.gather(
            *[job.result(timeout=10, poll_delay=0.05) for job in jobs if job]
        )
    assert results == [2 * number for number in range(50)]
    assert worker.jobs_complete + arq_worker.jobs_complete == 50


@pytest.mark.parametrize("kind", [arq.worker.Worker, Worker])
async def test_aborted_deferred_job_does_not_start(
    kind: type[arq.worker.Worker], redis: ArqRedis, redis_url: str
) -> None:
    """`Job.abort()` makes the job due in one call, and requests the abort in the next."""
    started = []

    async def start(ctx: dict[str, Any]) -> None:
        started.append(ctx["job_id"])

    worker = kind(
        [func(start, name="start")], redis_pool=await connect(redis_url), allow_abort_jobs=True
    )
    async with running(worker):
        for _ in range(5):
            job = await redis.enqueue_job("start", _defer_by=FOREVER)
            assert job is not None
            assert await job.abort(timeout=10, poll_delay=0.02)
    assert started == []


async def test_result_with_a_negative_keep_time_is_not_kept(
    redis: ArqRedis, pool: ArqRedis
) -> None:
    job = await redis.enqueue_job("double", 1)
    assert job is not None
    worker = Worker([func(double, keep_result=-1)], redis_pool=pool, burst=True)
    assert await worker.run_check() == 1
    assert await job.result_info() is None
    await worker.close()


async def test_possible_poison_jobs_run_one_at_a_time(redis: ArqRedis, redis_url: str) -> None:
    """If they ran together, the harmless jobs would become dead letters with the poison job."""
    concurrency: list[int] = []
    running_now = 0

    async def work(ctx: dict[str, Any]) -> None:
        nonlocal running_now
        running_now += 1
        concurrency.append(running_now)
        await asyncio.sleep(0.02)
        running_now -= 1

    suspects = [f"suspect-{number}" for number in range(4)]
    await redis.hset(keys.LOST, mapping=dict.fromkeys(suspects, MAX_EXPIRED_LEASES - 1))  # type: ignore[misc]  # both clients
    jobs = [await redis.enqueue_job("work", _job_id=job_id) for job_id in suspects]
    worker = Worker([func(work, name="work")], redis_pool=await connect(redis_url))
    async with running(worker):
        await asyncio.gather(*[job.result(timeout=10, poll_delay=0.02) for job in jobs if job])
    assert concurrency == [1, 1, 1, 1]
    assert not await redis.exists(keys.LOST)


async def test_closed_worker_may_run_again(redis: ArqRedis, redis_url: str) -> None:
    worker = Worker([double], redis_pool=await connect(redis_url), burst=True)
    for number in range(2):
        job = await redis.enqueue_job("double", number)
        assert job is not None
        await worker.main()
        assert await job.result(timeout=5) == 2 * number
        await worker.close()
        await worker.close()  # closing twice is harmless
        worker._pool = await connect(redis_url)
    await worker.close()


async def test_claim_of_arqs_worker_is_left_alone(redis: ArqRedis, pool: ArqRedis) -> None:
    await redis.enqueue_job("double", 1, _job_id="claimed")
    await redis.set("arq:in-progress:claimed", b"1", px=60_000)
    score = await redis.zscore("arq:queue", "claimed")
    job = await redis.enqueue_job("double", 2)
    worker = Worker([double], redis_pool=pool)
    async with running(worker):
        assert job is not None
        assert await job.result(timeout=5, poll_delay=0.01) == 4
    assert await redis.zscore("arq:queue", "claimed") == score
    assert await redis.get("arq:in-progress:claimed") == b"1"


async def test_concurrent_calls_of_start_jobs_open_one_connection(
    redis: ArqRedis, redis_url: str
) -> None:
    worker = Worker([double], redis_pool=await connect(redis_url), burst=True)
    await redis.enqueue_job("double", 2, _job_id="x")
    await asyncio.gather(*[worker.start_jobs([b"x"]) for _ in range(5)])
    await worker.main()
    await worker.close()
    assert worker.jobs_complete == 1
    database = str(redis.connection_pool.connection_kwargs["db"])
    assert len([client for client in await redis.client_list() if client["db"] == database]) == 1


async def test_unreadable_payloads_fail_alone(redis: ArqRedis, pool: ArqRedis) -> None:
    for number, payload in enumerate([b"\xff\x00", b"", b"\x80\x04N."]):
        await redis.set(f"arq:job:bad{number}", payload)
        await redis.zadd("arq:queue", {f"bad{number}": 1})
    good = await redis.enqueue_job("double", 3)
    worker = Worker([double], redis_pool=pool, burst=True)
    await worker.main()
    assert (worker.jobs_complete, worker.jobs_failed) == (1, 3)
    assert good is not None
    assert await good.result(timeout=1) == 6
    assert await redis.zcard("arq:queue") == 0
    await worker.close()


async def test_retries_add_up_across_arqs_worker_and_ours(redis: ArqRedis, redis_url: str) -> None:
    async def again(ctx: dict[str, Any]) -> None:
        raise Retry

    function = func(again, name="again", max_tries=4)
    await redis.enqueue_job("again", _job_id="x")
    for kind in (arq.worker.Worker, Worker, arq.worker.Worker, Worker):
        worker = kind([function], redis_pool=await connect(redis_url), burst=True, max_burst_jobs=1)
        await worker.main()
        assert worker.jobs_retried == 1
        await worker.close()
    last = Worker([function], redis_pool=await connect(redis_url), burst=True)
    await last.main()
    info = await Job("x", redis).result_info()
    assert info is not None
    assert info.result == JobExecutionFailed("max 4 retries exceeded")
    await last.close()
