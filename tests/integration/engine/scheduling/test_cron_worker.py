"""Schedules at work: each slot fires once, whatever the number and kind of workers."""

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


async def note(ctx: dict[str, Any]) -> None:
    await ctx["redis"].rpush("fired", ctx["job_id"])


async def tick(ctx: dict[str, Any]) -> None:
    await ctx["redis"].rpush("ticked", ctx["job_id"])


async def fired(redis: ArqRedis, key: str = "fired") -> list[str]:
    return [one.decode() for one in await redis.lrange(key, 0, -1)]  # type: ignore[misc]  # both clients


def clock_at(start: datetime, rate: float = 1.0) -> ScaledClock:
    return ScaledClock(start, rate, time.time())


NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
BEFORE_NOON = NOON - timedelta(seconds=0.3)


async def test_one_firing_over_many_workers_of_both_kinds(redis: ArqRedis, redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        for number in range(6):
            kind = arq.worker.Worker if number % 3 == 2 else Worker
            schedule = cron(note, second=None) if kind is Worker else arq_cron(note, second=None)
            worker = kind([tick], cron_jobs=[schedule], redis_pool=await connect(redis_url))
            await stack.enter_async_context(running(worker))
        await wait_until(lambda: _some(redis, 3))
    ids = await fired(redis)
    assert len(ids) == len(set(ids))
    seconds = sorted(int(one.rpartition(":")[2]) for one in ids)
    assert [b - a for a, b in pairwise(seconds)] == [1000] * (len(ids) - 1)


async def test_a_cron_by_name_enqueues_the_job_once_a_slot(redis: ArqRedis, redis_url: str) -> None:
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
async def test_slots_missed_while_no_worker_ran(
    redis: ArqRedis, redis_url: str, missed: Any, firings: int
) -> None:
    schedule = cron(note, expression="0 * * * *", missed=missed)

    async def run_at(moment: datetime) -> None:
        await work_off(schedule, redis_url, moment)

    await run_at(NOON + timedelta(minutes=5))
    assert await fired(redis) == []
    await run_at(NOON + timedelta(hours=3, minutes=5))
    assert len(await fired(redis)) == firings
    await run_at(NOON + timedelta(hours=3, minutes=6))
    assert len(await fired(redis)) == firings


async def test_a_cron_by_name_may_have_a_name_of_its_own(redis: ArqRedis, redis_url: str) -> None:
    named = [cron("tick", expression="0 12 * * *", name=name) for name in ("noon", "midday")]
    clock = clock_at(BEFORE_NOON)
    worker = Worker(
        [tick], cron_jobs=named, redis_pool=await connect(redis_url), clock=clock, timezone=UTC
    )
    async with running(worker):
        await wait_until(lambda: _some(redis, 2, "ticked"))
    slot = round(NOON.timestamp() * 1000) + 123
    assert sorted(await fired(redis, "ticked")) == [f"tick:midday:{slot}", f"tick:noon:{slot}"]


async def test_missed_slots_run_before_the_run_at_startup(redis: ArqRedis, redis_url: str) -> None:
    schedule = cron(note, expression="0 * * * *", missed="all", run_at_startup=True)
    await work_off(schedule, redis_url, NOON + timedelta(minutes=5))
    before = await fired(redis)
    await work_off(schedule, redis_url, NOON + timedelta(hours=2, minutes=5))
    ran = (await fired(redis))[len(before) :]
    assert [datetime.fromtimestamp(int(one.rpartition(":")[2]) // 1000, UTC) for one in ran] == [
        NOON + timedelta(hours=1),
        NOON + timedelta(hours=2),
        pytest.approx(NOON + timedelta(hours=2, minutes=5), abs=timedelta(seconds=30)),
    ]


async def test_a_restart_over_a_slot_does_not_skip_it(redis: ArqRedis, redis_url: str) -> None:
    schedule = cron(note, expression="0 12 * * *")
    await work_off(schedule, redis_url, BEFORE_NOON)
    await work_off(schedule, redis_url, NOON + timedelta(seconds=2))
    assert len(await fired(redis)) == 1


class AheadClock(SystemClock):
    def now(self) -> datetime:
        return super().now() + timedelta(days=1)


async def test_a_clock_that_is_ahead_fires_nothing_and_silences_nobody(
    redis: ArqRedis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def worker(clock: SystemClock, pool: ArqRedis) -> Worker:
        return Worker(cron_jobs=[cron(note, second=None)], redis_pool=pool, clock=clock)

    async with running(worker(AheadClock(), await connect(redis_url))):
        await wait_until(lambda: "ahead of Redis" in caplog.text)
        assert await fired(redis) == []
        async with running(worker(SystemClock(), await connect(redis_url))):
            await wait_until(lambda: _some(redis, 2))
    now = time.time() * 1000
    assert all(int(one.rpartition(":")[2]) < now + 1000 for one in await fired(redis))
    assert sum("ahead of Redis" in one.getMessage() for one in caplog.records) == 1


async def test_a_slot_remembered_from_a_faster_clock_is_forgotten(
    redis: ArqRedis, redis_url: str
) -> None:
    schedule = cron(note, second=None)
    tomorrow = round((time.time() + 86_400) * 1000)
    await redis.hset(keys.CRON + schedule.identity, mapping={"slot": tomorrow, "at": 0})  # type: ignore[misc]  # both clients
    async with running(Worker(cron_jobs=[schedule], redis_pool=await connect(redis_url))):
        await wait_until(lambda: _some(redis, 1))


@pytest.mark.parametrize("missed", ["once", "all"])
async def test_slots_that_a_stock_worker_ran_were_not_missed(
    redis: ArqRedis, redis_url: str, missed: Any
) -> None:
    midnight = datetime(2028, 2, 29, tzinfo=UTC)
    schedule = cron(note, expression="0 * 29 2 *", missed=missed)
    await work_off(schedule, redis_url, midnight - timedelta(hours=1))
    slots = [midnight + timedelta(hours=hour, microseconds=123_456) for hour in range(3)]
    ids = [schedule.job_id_at(slot) for slot in slots]
    for job_id in ids:
        await redis.enqueue_job("cron:note", _job_id=job_id)
    stock = arq.worker.Worker(cron_jobs=[schedule], redis_pool=await connect(redis_url), burst=True)
    await stock.main()
    await stock.close()
    assert sorted(await fired(redis)) == ids
    await redis.delete(*[keys.IN_PROGRESS + str(job_id) for job_id in ids])  # kept for a minute
    await work_off(schedule, redis_url, midnight + timedelta(hours=2, minutes=30))
    assert sorted(await fired(redis)) == ids


async def work_off(schedule: Cron, redis_url: str, moment: datetime) -> None:
    """Run a worker in a burst that starts at this moment. One job at a time keeps their order."""
    worker = Worker(
        cron_jobs=[schedule],
        redis_pool=await connect(redis_url),
        clock=clock_at(moment),
        timezone=UTC,
        burst=True,
        max_jobs=1,
    )
    await worker.main()
    await worker.close()


async def test_a_crons_function_may_be_enqueued_by_hand_again_and_again(
    redis: ArqRedis, redis_url: str
) -> None:
    worker = Worker(cron_jobs=[cron(note, hour=1)], redis_pool=await connect(redis_url), burst=True)
    for _ in range(2):
        await redis.enqueue_job("cron:note", _job_id="by-hand")
        await worker.main()
    assert await fired(redis) == ["by-hand", "by-hand"]
    await worker.close()


async def test_a_fast_clock_coalesces_slots_over_all_workers(
    redis: ArqRedis, redis_url: str
) -> None:
    clock = clock_at(BEFORE_NOON, rate=1000)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            worker = Worker(
                cron_jobs=[cron(note, second=0)], redis_pool=await connect(redis_url), clock=clock
            )
            await stack.enter_async_context(running(worker))
        began = time.monotonic()
        await wait_until(lambda: _some(redis, 6))
        took = time.monotonic() - began
    ids = await fired(redis)
    assert len(ids) == len(set(ids))
    assert len(ids) <= took / 0.25 + 2


async def test_a_cron_that_retries_is_not_held_back(redis: ArqRedis, redis_url: str) -> None:
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


async def test_a_fired_slot_enqueued_again_is_dropped(redis: ArqRedis, redis_url: str) -> None:
    worker = Worker(
        cron_jobs=[cron(note, run_at_startup=True, hour=1)],
        redis_pool=await connect(redis_url),
        burst=True,
    )
    await worker.main()
    (job_id,) = await fired(redis)
    await redis.enqueue_job("cron:note", _job_id=job_id)
    await worker.main()
    assert await fired(redis) == [job_id]
    assert not await redis.exists("arq:queue")
    await worker.close()


async def test_arqs_worker_runs_our_schedules(redis: ArqRedis, redis_url: str) -> None:
    schedules: list[Cron] = [cron("tick", second=None, timezone="Europe/Berlin")]
    worker = arq.worker.Worker([tick], cron_jobs=schedules, redis_pool=await connect(redis_url))
    async with running(worker):
        await wait_until(lambda: fired(redis, "ticked"))


async def _some(redis: ArqRedis, count: int, key: str = "fired") -> bool:
    return len(await fired(redis, key)) >= count


async def test_upkeep_is_done_by_real_time(redis: ArqRedis, redis_url: str) -> None:
    schedules = [cron(note, second=None, real_time=True), cron(tick, second=None)]
    worker = Worker(
        [],
        cron_jobs=schedules,
        redis_pool=await connect(redis_url),
        clock=clock_at(BEFORE_NOON, rate=1e-6),
    )
    async with running(worker):
        await wait_until(lambda: fired(redis))
    assert not await fired(redis, "ticked")


async def test_a_schedule_that_is_alone_waits_for_its_own_job(
    redis: ArqRedis, redis_url: str
) -> None:
    held = asyncio.Event()

    async def slow(ctx: dict[str, Any]) -> None:
        await ctx["redis"].rpush("fired", ctx["job_id"])
        await held.wait()

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
        held.set()
        await wait_until(lambda: _some(redis, 2))


async def _ticked(redis: ArqRedis, count: int) -> bool:
    return len(await fired(redis, "ticked")) >= count


async def test_a_slot_whose_redis_goes_away_enqueues_its_job_when_it_is_back() -> None:
    async with own_redis() as server:
        pool = await create_pool(server.url)
        server.kill()
        asyncio.get_running_loop().call_later(0.3, server.start)
        slot = cron("call.reconcile", second=0)
        await slot.coroutine({"redis": pool, "job_id": "cron:call.reconcile:1782907200000"})
        (job,) = await pool.queued_jobs(queue_name="call_tasks")
        assert (job.function, job.job_id) == ("call.reconcile", "call.reconcile:1782907200000")
        await pool.aclose()
