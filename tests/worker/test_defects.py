"""What goes wrong with arq 0.28's worker, shown on it, and not with ours.

Each test runs on both; on arq's it has to fail, and would be reported if it passed.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.cron import cron as arq_cron
from arq.jobs import Job, JobStatus
from arq.worker import Retry, func

from jobs.engine import (
    DeadLetters,
    Worker,
    create_pool,
    deserialize,
    health,
    job,
    retry,
    serialize,
)
from jobs.engine.launch import create_worker
from jobs.testing.waiting import wait_until
from tests.worker.workers import connect, own_redis, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")

Kind = type[arq.worker.Worker]
FAILS_ON_ARQ = [
    pytest.param(
        arq.worker.Worker, id="arq", marks=pytest.mark.xfail(reason="a defect of arq 0.28")
    ),
    pytest.param(Worker, id="ours"),
]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    pool = await connect(redis_url)
    yield pool
    await pool.aclose(close_connection_pool=True)


@pytest.fixture(params=FAILS_ON_ARQ)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


async def quick(ctx: dict[str, Any]) -> str:
    return "done"


async def hang(ctx: dict[str, Any]) -> None:
    await asyncio.sleep(3600)


async def _result(job: Job | None, timeout: float = 3) -> Any:
    assert job is not None
    return await job.result(timeout=timeout, poll_delay=0.02)


async def test_01_a_lost_workers_job_runs_again_within_two_leases(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
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
        assert await _result(lost) == "done"


async def test_02_a_late_finish_of_a_job_that_runs_elsewhere_is_refused(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
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
        await wait_until(lambda: not _busy(worker))
        await asyncio.sleep(0.1)
        assert job is not None
        assert await job.status() == JobStatus.in_progress
        assert await redis.get("arq:in-progress:x") == b"someone:1"


async def test_03_running_jobs_do_not_hide_the_ones_behind_them(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    for _ in range(110):
        await redis.enqueue_job("hang")
    busy = kind([hang], redis_pool=await connect(redis_url), max_jobs=110)
    idle = kind([quick, hang], redis_pool=await connect(redis_url), max_jobs=10)
    async with running(busy):
        await wait_until(lambda: len(busy.tasks) == 110)
        async with running(idle):
            assert await _result(await redis.enqueue_job("quick")) == "done"


async def test_04_an_idle_worker_starts_a_job_at_once(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    delays = []
    worker = kind([quick], redis_pool=await connect(redis_url))
    async with running(worker):
        for number in range(5):
            job = await redis.enqueue_job("quick", _job_id=str(number))
            await _result(job)
            info = await job.result_info() if job else None
            assert info is not None
            delays.append((info.start_time - info.enqueue_time).total_seconds())
            await asyncio.sleep(0.15)
    assert sorted(delays)[2] < 0.05


async def test_05_results_kept_for_ever_with_retries_exhausted(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
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
            await _result(job)


async def test_06_a_hook_that_raises_ends_neither_job_nor_worker(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
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
            assert await _result(await redis.enqueue_job("quick")) == "done"


async def test_07_a_worker_outlives_an_outage_of_redis(kind: Kind) -> None:
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
            await asyncio.sleep(0.3)
            server.start()
            await server.ready()
            assert await _result(job, timeout=10) == "done"
            assert await _result(await redis.enqueue_job("quick"), timeout=10) == "done"


async def test_08_aborting_an_unknown_id_harms_no_later_job(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    assert not await Job("x", redis).abort(timeout=1, poll_delay=0.01)
    await asyncio.sleep(0.01)
    worker = kind([quick], redis_pool=await connect(redis_url), allow_abort_jobs=True)
    async with running(worker):
        assert await _result(await redis.enqueue_job("quick", _job_id="x")) == "done"


async def test_09_errors_are_retried_and_the_last_one_is_kept(kind: Kind, redis_url: str) -> None:
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
        letter = await wait_until(lambda: DeadLetters(pool).get("x"), timeout=1)
        assert letter is not None
        assert letter.tries == 2
        assert worker.jobs_retried == 1


async def fail_as_in_arq(ctx: dict[str, Any]) -> None:
    raise ValueError("no")


@job("defects.fail")
@retry(max_retries=1, delay=0.01)
async def fail(ctx: dict[str, Any]) -> None:
    raise ValueError("no")


async def test_10_a_deploy_costs_no_try(kind: Kind, redis: ArqRedis, redis_url: str) -> None:
    await redis.enqueue_job("hang", _job_id="x")
    for _ in range(3):
        worker = kind([hang], redis_pool=await connect(redis_url))
        async with running(worker):
            await wait_until(partial(_busy, worker))
            await asyncio.sleep(0.05)
    assert not await redis.exists("arq:retry:x")
    assert await Job("x", redis).status() == JobStatus.queued


async def test_11_a_retrying_job_does_not_expire_while_it_waits(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    async def later(ctx: dict[str, Any]) -> None:
        raise Retry(defer=timedelta(hours=30))

    await redis.enqueue_job("later", _job_id="x")
    worker = kind([func(later, name="later")], redis_pool=await connect(redis_url))
    async with running(worker):
        await wait_until(lambda: worker.jobs_retried)
        await asyncio.sleep(0.05)
    assert await redis.ttl("arq:job:x") > timedelta(hours=30).total_seconds()


async def test_11_an_explicit_expiry_stays_a_deadline(redis: ArqRedis, redis_url: str) -> None:
    async def later(ctx: dict[str, Any]) -> None:
        raise Retry(defer=timedelta(hours=30))

    await redis.enqueue_job("later", _job_id="x", _expires=timedelta(hours=2))
    worker = Worker([func(later, name="later")], redis_pool=await connect(redis_url))
    async with running(worker):
        await wait_until(lambda: worker.jobs_retried)
        await asyncio.sleep(0.05)
    assert await redis.ttl("arq:job:x") <= timedelta(hours=2).total_seconds()


async def test_12_a_job_of_a_newer_release_is_not_lost(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    options: dict[str, Any] = {"put_back_unknown": True} if kind is Worker else {}
    await redis.enqueue_job("newer", _job_id="x")
    worker = kind([quick], redis_pool=await connect(redis_url), **options)
    async with running(worker):
        assert await _result(await redis.enqueue_job("quick")) == "done"
        await asyncio.sleep(0.05)
    assert await Job("x", redis).status() == JobStatus.deferred


@pytest.mark.parametrize("worker_kind", FAILS_ON_ARQ)
async def test_13_crons_go_on_when_the_clocks_change(worker_kind: Kind, redis_url: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    worker = worker_kind(
        cron_jobs=[arq_cron(quick, minute={0, 15, 30, 45}, microsecond=0)],
        redis_pool=await connect(redis_url),
        timezone=zone,  # type: ignore[arg-type]  # arq's annotation is too narrow
    )
    (schedule,) = worker.cron_jobs
    moment = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)
    slots = []
    for _ in range(6):
        schedule.calculate_next(moment.astimezone(zone))
        assert schedule.next_run is not None
        moment = schedule.next_run.astimezone(UTC)
        slots.append(moment)
    await worker.close()
    assert slots == [
        datetime(2026, 10, 25, 1, tzinfo=UTC) + timedelta(minutes=15 * n) for n in range(6)
    ]


async def test_14_a_cron_with_an_id_of_its_own_may_run_twice_in_a_minute(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    runs = []

    async def note(ctx: dict[str, Any]) -> None:
        runs.append(time.time())

    worker = kind(
        cron_jobs=[arq_cron(note, second=None, job_id="mine", name="note")],
        redis_pool=await connect(redis_url),
        poll_delay=0.1,
    )
    async with running(worker):
        await wait_until(lambda: len(runs) >= 2, timeout=4)


async def test_15_a_worker_that_stops_leaves_the_others_health_alone(
    kind: Kind, redis: ArqRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LONGEST_INTERVAL", 0.5)
    one = kind([quick], redis_pool=await connect(redis_url))
    two = kind([quick], redis_pool=await connect(redis_url))
    async with running(one):
        await wait_until(lambda: redis.exists("arq:queue:health-check"))
        async with running(two):
            assert await _result(await redis.enqueue_job("quick")) == "done"
        await wait_until(lambda: redis.exists("arq:queue:health-check"), timeout=2)


async def test_15_each_worker_has_a_health_key(redis: ArqRedis, redis_url: str) -> None:
    made = [
        Worker([quick], redis_pool=await connect(redis_url), counters=True, queues=["a", "b"])
        for _ in range(2)
    ]
    async with running(made[0]), running(made[1]):
        await wait_until(lambda: _count(redis, 2))
        assert await redis.exists("a:health-check", "b:health-check") == 2
    assert await health.workers(redis) == []


async def _count(redis: ArqRedis, count: int) -> bool:
    return len(await health.workers(redis)) == count


@pytest.mark.parametrize(
    "pool_of",
    [
        pytest.param(connect, id="arq", marks=pytest.mark.xfail(reason="a defect of arq 0.28")),
        pytest.param(create_pool, id="ours"),
    ],
)
async def test_16_an_expired_job_does_not_break_the_list_of_queued_ones(
    pool_of: Any, redis_url: str
) -> None:
    redis = await pool_of(redis_url)
    try:
        await redis.enqueue_job("quick", _job_id="x", _queue_name="q")
        await redis.enqueue_job("quick", _job_id="y", _queue_name="q")
        await redis.delete("arq:job:x")
        assert [one.job_id for one in await redis.queued_jobs(queue_name="q")] == ["y"]
    finally:
        await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("kind_of", FAILS_ON_ARQ)
async def test_17_a_pickle_runs_no_code_in_the_worker(
    kind_of: Kind, redis: ArqRedis, redis_url: str
) -> None:
    options: dict[str, Any] = {}
    if kind_of is Worker:
        options = {"job_serializer": serialize, "job_deserializer": deserialize}
    await redis.enqueue_job("quick", Bomb(), _job_id="x")
    Bomb.exploded = False
    worker = kind_of([quick], redis_pool=await connect(redis_url), burst=True, **options)
    await worker.main()
    await worker.close()
    assert not Bomb.exploded


class Bomb:
    """Runs code where it is unpickled."""

    exploded = False

    def __setstate__(self, state: object) -> None:
        Bomb.exploded = True

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


async def test_19_one_worker_serves_several_queues(redis: ArqRedis, redis_url: str) -> None:
    assert "queues" not in inspect.signature(arq.worker.Worker).parameters

    class A:
        queue_name = "a"
        functions = (quick,)

    class B:
        queue_name = "b"
        functions = (hang, func(quick, name="other"))

    worker = create_worker(A, B, redis_pool=await connect(redis_url))
    async with running(worker):
        assert await _result(await redis.enqueue_job("quick", _queue_name="a")) == "done"
        assert await _result(await redis.enqueue_job("other", _queue_name="b")) == "done"


def _busy(worker: arq.worker.Worker) -> bool:
    return any(not task.done() for task in worker.tasks.values())
