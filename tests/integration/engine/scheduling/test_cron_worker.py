"""Schedules in running workers: each fire time runs once, over any number and kind of workers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.cron import cron as arq_cron

from jobs.engine import Cron, ScaledClock, SystemClock, Worker, create_pool, cron
from jobs.engine.queue import keys
from jobs.testing.waiting import wait_until
from tests.integration.workers import connect, own_redis, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    pool = await connect(redis_url)
    yield pool
    await pool.aclose(close_connection_pool=True)


async def record(ctx: dict[str, Any]) -> None:
    await ctx["redis"].rpush("fired", ctx["job_id"])


async def tick(ctx: dict[str, Any]) -> None:
    await ctx["redis"].rpush("ticked", ctx["job_id"])


async def fired(redis: ArqRedis, key: str = "fired") -> list[str]:
    return [job_id.decode() for job_id in await redis.lrange(key, 0, -1)]  # type: ignore[misc]  # both clients


def clock_at(start: datetime, rate: float = 1.0) -> ScaledClock:
    return ScaledClock(start, rate, time.time())


NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
BEFORE_NOON = NOON - timedelta(seconds=0.3)


async def test_fire_time_runs_once_over_workers_of_both_kinds(
    redis: ArqRedis, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        for number in range(6):
            kind = arq.worker.Worker if number % 3 == 2 else Worker
            schedule = (
                cron(record, second=None) if kind is Worker else arq_cron(record, second=None)
            )
            worker = kind([tick], cron_jobs=[schedule], redis_pool=await connect(redis_url))
            await stack.enter_async_context(running(worker))
        await wait_until(lambda: _has_fired(redis, 3))
    ids = await fired(redis)
    assert len(ids) == len(set(ids))
    seconds = sorted(int(job_id.rpartition(":")[2]) for job_id in ids)
    assert [b - a for a, b in pairwise(seconds)] == [1000] * (len(ids) - 1)


async def test_schedule_by_name_enqueues_once_per_fire_time(
    redis: ArqRedis, redis_url: str
) -> None:
    clock = clock_at(BEFORE_NOON)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            worker = Worker(
                [tick],
                cron_jobs=[cron("tick", expression="0 12 * * *")],
                redis_pool=await connect(redis_url),
                clock=clock,
                timezone=UTC,
            )
            await stack.enter_async_context(running(worker))
        await wait_until(lambda: fired(redis, "ticked"))
        await asyncio.sleep(0.3)
    assert await fired(redis, "ticked") == [f"tick:{round(NOON.timestamp() * 1000) + 123}"]


@pytest.mark.parametrize(("missed", "firings"), [("skip", 0), ("once", 1), ("all", 3)])
async def test_missed_fire_times_follow_the_option(
    redis: ArqRedis, redis_url: str, missed: Any, firings: int
) -> None:
    schedule = cron(record, expression="0 * * * *", missed=missed)

    async def run_at(moment: datetime) -> None:
        await run_burst(schedule, redis_url, moment)

    await run_at(NOON + timedelta(minutes=5))
    assert await fired(redis) == []
    await run_at(NOON + timedelta(hours=3, minutes=5))
    assert len(await fired(redis)) == firings
    await run_at(NOON + timedelta(hours=3, minutes=6))
    assert len(await fired(redis)) == firings


async def test_schedule_by_name_may_have_its_own_name(redis: ArqRedis, redis_url: str) -> None:
    named = [cron("tick", expression="0 12 * * *", name=name) for name in ("noon", "midday")]
    clock = clock_at(BEFORE_NOON)
    worker = Worker(
        [tick], cron_jobs=named, redis_pool=await connect(redis_url), clock=clock, timezone=UTC
    )
    async with running(worker):
        await wait_until(lambda: _has_fired(redis, 2, "ticked"))
    fire_ms = round(NOON.timestamp() * 1000) + 123
    assert sorted(await fired(redis, "ticked")) == [
        f"tick:midday:{fire_ms}",
        f"tick:noon:{fire_ms}",
    ]


async def test_missed_fire_times_run_before_the_run_at_startup(
    redis: ArqRedis, redis_url: str
) -> None:
    schedule = cron(record, expression="0 * * * *", missed="all", run_at_startup=True)
    await run_burst(schedule, redis_url, NOON + timedelta(minutes=5))
    before = await fired(redis)
    await run_burst(schedule, redis_url, NOON + timedelta(hours=2, minutes=5))
    ran = (await fired(redis))[len(before) :]
    assert [
        datetime.fromtimestamp(int(job_id.rpartition(":")[2]) // 1000, UTC) for job_id in ran
    ] == [
        NOON + timedelta(hours=1),
        NOON + timedelta(hours=2),
        pytest.approx(NOON + timedelta(hours=2, minutes=5), abs=timedelta(seconds=30)),
    ]


async def test_fire_time_during_a_restart_is_not_skipped(redis: ArqRedis, redis_url: str) -> None:
    schedule = cron(record, expression="0 12 * * *")
    await run_burst(schedule, redis_url, BEFORE_NOON)
    await run_burst(schedule, redis_url, NOON + timedelta(seconds=2))
    assert len(await fired(redis)) == 1


class AheadClock(SystemClock):
    def now(self) -> datetime:
        return super().now() + timedelta(days=1)


async def test_clock_ahead_of_redis_neither_fires_nor_blocks_others(
    redis: ArqRedis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def worker(clock: SystemClock, pool: ArqRedis) -> Worker:
        return Worker(cron_jobs=[cron(record, second=None)], redis_pool=pool, clock=clock)

    async with running(worker(AheadClock(), await connect(redis_url))):
        await wait_until(lambda: "ahead of Redis" in caplog.text)
        assert await fired(redis) == []
        async with running(worker(SystemClock(), await connect(redis_url))):
            await wait_until(lambda: _has_fired(redis, 2))
    now = time.time() * 1000
    assert all(int(job_id.rpartition(":")[2]) < now + 1000 for job_id in await fired(redis))
    assert sum("ahead of Redis" in record.getMessage() for record in caplog.records) == 1


async def test_fire_time_stored_by_a_faster_clock_is_ignored(
    redis: ArqRedis, redis_url: str
) -> None:
    schedule = cron(record, second=None)
    tomorrow = round((time.time() + 86_400) * 1000)
    await redis.hset(keys.CRON + schedule.identity, mapping={"slot": tomorrow, "at": 0})  # type: ignore[misc]  # both clients
    async with running(Worker(cron_jobs=[schedule], redis_pool=await connect(redis_url))):
        await wait_until(lambda: _has_fired(redis, 1))


@pytest.mark.parametrize("missed", ["once", "all"])
async def test_fire_times_run_by_arqs_worker_are_not_missed(
    redis: ArqRedis, redis_url: str, missed: Any
) -> None:
    midnight = datetime(2028, 2, 29, tzinfo=UTC)
    schedule = cron(record, expression="0 * 29 2 *", missed=missed)
    await run_burst(schedule, redis_url, midnight - timedelta(hours=1))
    fire_times = [midnight + timedelta(hours=hour, microseconds=123_456) for hour in range(3)]
    ids = [schedule.job_id_at(fire_time) for fire_time in fire_times]
    for job_id in ids:
        await redis.enqueue_job("cron:record", _job_id=job_id)
    arq_worker = arq.worker.Worker(
        cron_jobs=[schedule], redis_pool=await connect(redis_url), burst=True
    )
    await arq_worker.main()
    await arq_worker.close()
    assert sorted(await fired(redis)) == ids
    await redis.delete(*[keys.IN_PROGRESS + str(job_id) for job_id in ids])  # kept for a minute
    await run_burst(schedule, redis_url, midnight + timedelta(hours=2, minutes=30))
    assert sorted(await fired(redis)) == ids


async def run_burst(schedule: Cron, redis_url: str, moment: datetime) -> None:
    """Run a `Worker` in burst mode that starts at this moment."""
    worker = Worker(
        cron_jobs=[schedule],
        redis_pool=await connect(redis_url),
        clock=clock_at(moment),
        timezone=UTC,
        burst=True,
        max_jobs=1,  # one job at a time keeps their order
    )
    await worker.main()
    await worker.close()


async def test_schedule_may_be_enqueued_by_hand_repeatedly(redis: ArqRedis, redis_url: str) -> None:
    worker = Worker(
        cron_jobs=[cron(record, hour=1)], redis_pool=await connect(redis_url), burst=True
    )
    for _ in range(2):
        await redis.enqueue_job("cron:record", _job_id="by-hand")
        await worker.main()
    assert await fired(redis) == ["by-hand", "by-hand"]
    await worker.close()


async def test_fast_clock_coalesces_fire_times_over_all_workers(
    redis: ArqRedis, redis_url: str
) -> None:
    clock = clock_at(BEFORE_NOON, rate=1000)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            worker = Worker(
                cron_jobs=[cron(record, second=0)], redis_pool=await connect(redis_url), clock=clock
            )
            await stack.enter_async_context(running(worker))
        began = time.monotonic()
        await wait_until(lambda: _has_fired(redis, 6))
        took = time.monotonic() - began
    ids = await fired(redis)
    assert len(ids) == len(set(ids))
    assert len(ids) <= took / 0.25 + 2


async def test_schedule_retries_without_delay(redis: ArqRedis, redis_url: str) -> None:
    async def stubborn(ctx: dict[str, Any]) -> None:
        await redis.rpush("fired", ctx["job_try"])  # type: ignore[misc]  # both clients
        if ctx["job_try"] < 3:
            raise arq.worker.Retry(defer=0.01)

    worker = Worker(
        cron_jobs=[arq_cron(stubborn, name="s", run_at_startup=True, max_tries=3, hour=1)],
        redis_pool=await connect(redis_url),
        burst=True,
    )
    await asyncio.wait_for(worker.main(), 5)
    assert await fired(redis) == ["1", "2", "3"]
    await worker.close()


async def test_fire_time_enqueued_again_is_dropped(redis: ArqRedis, redis_url: str) -> None:
    worker = Worker(
        cron_jobs=[cron(record, run_at_startup=True, hour=1)],
        redis_pool=await connect(redis_url),
        burst=True,
    )
    await worker.main()
    (job_id,) = await fired(redis)
    await redis.enqueue_job("cron:record", _job_id=job_id)
    await worker.main()
    assert await fired(redis) == [job_id]
    assert not await redis.exists("arq:queue")
    await worker.close()


async def test_arqs_worker_runs_a_cron(redis: ArqRedis, redis_url: str) -> None:
    schedules: list[Cron] = [cron("tick", second=None, timezone="Europe/Berlin")]
    worker = arq.worker.Worker([tick], cron_jobs=schedules, redis_pool=await connect(redis_url))
    async with running(worker):
        await wait_until(lambda: fired(redis, "ticked"))


async def _has_fired(redis: ArqRedis, count: int, key: str = "fired") -> bool:
    return len(await fired(redis, key)) >= count


async def test_real_time_schedule_ignores_the_business_clock(
    redis: ArqRedis, redis_url: str
) -> None:
    schedules = [cron(record, second=None, real_time=True), cron(tick, second=None)]
    worker = Worker(
        [],
        cron_jobs=schedules,
        redis_pool=await connect(redis_url),
        clock=clock_at(BEFORE_NOON, rate=1e-6),
    )
    async with running(worker):
        await wait_until(lambda: fired(redis))
    assert not await fired(redis, "ticked")


async def test_alone_schedule_waits_for_its_own_job(redis: ArqRedis, redis_url: str) -> None:
    release = asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        await ctx["redis"].rpush("fired", ctx["job_id"])
        await release.wait()

    slow.__qualname__ = "slow"
    schedules: list[Cron] = [
        cron("slow", second=None, alone=True),
        cron(tick, second=None),
    ]
    worker = Worker(
        [arq.worker.func(slow, keep_result=0)],
        cron_jobs=schedules,
        redis_pool=await connect(redis_url),
        clock=clock_at(BEFORE_NOON, rate=4),
    )
    async with running(worker):
        await wait_until(lambda: fired(redis))
        ticks = len(await fired(redis, "ticked"))
        await wait_until(lambda: _ticked(redis, ticks + 3))
        assert await fired(redis) == ["only:slow"]
        release.set()
        await wait_until(lambda: _has_fired(redis, 2))


async def _ticked(redis: ArqRedis, count: int) -> bool:
    return len(await fired(redis, "ticked")) >= count


async def test_job_is_enqueued_after_a_redis_outage() -> None:
    async with own_redis() as server:
        pool = await create_pool(server.url)
        server.kill()
        asyncio.get_running_loop().call_later(0.3, server.start)
        schedule = cron("call.reconcile", second=0)
        await schedule.coroutine({"redis": pool, "job_id": "cron:call.reconcile:1782907200000"})
        (job,) = await pool.queued_jobs(queue_name="call_tasks")
        assert (job.function, job.job_id) == ("call.reconcile", "call.reconcile:1782907200000")
        await pool.aclose()
