"""Jobs that are handed to a worker which waits, by whoever enqueues them."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from arq.worker import func

from jobs.chaos.proxies import Link, State, Tap
from jobs.engine import Pool, Worker, create_pool, deserialize, serialize
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.queue import keys
from jobs.engine.queue.scripts import CLAIM
from jobs.testing.waiting import wait_until
from tests.integration.scripted_settings import QUEUE
from tests.integration.workers import OwnRedis, process, running

LARGE = "x" * 100_000


async def worker_of(url: str, *functions: Any, **options: Any) -> Worker:
    pool = await create_pool(url)
    return Worker(
        [func(one, name=one.__name__) for one in functions],
        redis_pool=pool,
        queues=options.pop("queues", [QUEUE]),
        job_serializer=serialize,
        job_deserializer=deserialize,
        poll_delay=30,
        **options,
    )


async def waits(pool: Pool, queue: str = QUEUE, number: int = 1) -> None:
    """Until so many workers wait for a job of the queue."""

    async def so_many() -> bool:
        return bool(await pool.zcard(keys.WAITING + queue) >= number)

    await wait_until(so_many)


@contextmanager
def no_claims() -> Iterator[None]:
    """No claim has an answer meanwhile."""
    over, call = asyncio.Event(), ScriptChannel.call

    async def late(self: ScriptChannel, script: Any, *args: Any, **options: Any) -> Any:
        if script is CLAIM:
            await over.wait()
        return await call(self, script, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptChannel, "call", late)
        try:
            yield
        finally:
            over.set()


async def test_a_worker_that_waits_need_not_claim(redis_url: str, pool: Pool) -> None:
    async def note(ctx: dict[str, Any], word: str) -> list[Any]:
        return [word, ctx["job_try"], ctx["score"]]

    worker = await worker_of(redis_url, note)
    async with running(worker):
        await waits(pool)
        with no_claims():
            job = await pool.enqueue_job("note", "handed", _queue_name=QUEUE, _job_id="chosen")
            assert job is not None
            word, number, score = await job.result(timeout=10, poll_delay=0.01)
        assert (word, number) == ("handed", 1)
        info = await job.result_info()
        assert info is not None
        assert abs(score / 1000 - info.enqueue_time.timestamp()) < 1


async def test_each_job_may_be_handed_over_again_and_again(redis_url: str, pool: Pool) -> None:
    async def double(ctx: dict[str, Any], number: int) -> int:
        return 2 * number

    worker = await worker_of(redis_url, double)
    async with running(worker):
        for number in range(20):
            await waits(pool)
            job = await pool.enqueue_job("double", number, _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=10, poll_delay=0.001) == 2 * number
    assert not await pool.exists(QUEUE)
    assert not [key async for key in pool.scan_iter(keys.IN_PROGRESS + "*")]


@pytest.mark.parametrize("options", [{"_defer_by": 0.05}, {"_defer_by": -60}, {"argument": LARGE}])
async def test_what_is_not_handed_over_is_claimed(
    redis_url: str, pool: Pool, options: dict[str, Any]
) -> None:
    async def length(ctx: dict[str, Any], word: str) -> int:
        return len(word)

    argument = options.pop("argument", "x")
    worker = await worker_of(redis_url, length)
    async with running(worker):
        await waits(pool)
        job = await pool.enqueue_job("length", argument, _queue_name=QUEUE, **options)
        assert job is not None
        assert await job.result(timeout=10, poll_delay=0.01) == len(argument)


@pytest.mark.parametrize("past", ["tries", "abort", "lapses", "unknown", "none"])
async def test_what_has_a_past_is_not_handed_over(redis_url: str, pool: Pool, past: str) -> None:
    """A claim brings along what a worker has to know of it."""

    async def note(ctx: dict[str, Any]) -> None:
        pass

    worker = await worker_of(redis_url, note)
    async with running(worker):
        await waits(pool)
        match past:
            case "tries":
                await pool.set(keys.RETRY + "chosen", 2)
            case "abort":
                await pool.zadd(keys.ABORT, {"chosen": 1})
            case "lapses":
                await pool.hset(keys.LOST, "chosen", "1")  # type: ignore[misc]  # typed for both clients
            case "unknown":
                await pool.hset(keys.LOST, keys.UNKNOWN + "chosen", "1")  # type: ignore[misc]  # the same
        with no_claims():
            job = await pool.enqueue_job("note", _queue_name=QUEUE, _job_id="chosen")
            assert job is not None
            is_waiting = (await pool.zscore(QUEUE, "chosen") or 0) > 0
            assert is_waiting == (past != "none")
        await wait_until(lambda: worker.jobs_complete)


async def test_a_job_that_was_aborted_before_it_came_is_not_started(
    redis_url: str, pool: Pool
) -> None:
    async def never(ctx: dict[str, Any]) -> None:
        pytest.fail("it was aborted")

    worker = await worker_of(redis_url, never, allow_abort_jobs=True)
    async with running(worker):
        await waits(pool)
        await pool.zadd(keys.ABORT, {"chosen": 2**53})
        job = await pool.enqueue_job("never", _queue_name=QUEUE, _job_id="chosen")
        assert job is not None
        with suppress(asyncio.CancelledError):
            await job.result(timeout=10, poll_delay=0.01)
        info = await job.result_info()
        assert info is not None
        assert not info.success


async def test_a_worker_with_something_to_do_is_not_asked(redis_url: str, pool: Pool) -> None:
    done = asyncio.Event()

    async def long(ctx: dict[str, Any]) -> None:
        await done.wait()

    worker = await worker_of(redis_url, long, queues=[QUEUE, "other_tasks"])
    async with running(worker):
        await waits(pool)
        await pool.enqueue_job("long", _queue_name=QUEUE)
        await wait_until(lambda: worker.tasks)

        async def nobody() -> bool:
            return not await pool.exists(keys.WAITING + QUEUE, keys.WAITING + "other_tasks")

        await wait_until(nobody)
        done.set()
        await waits(pool)
        await waits(pool, "other_tasks")


async def test_a_job_too_many_goes_to_another_worker(redis_url: str, pool: Pool) -> None:
    """One that serves two queues may be handed a job of each in the same moment."""
    done, ran = asyncio.Event(), []

    async def note(ctx: dict[str, Any]) -> None:
        ran.append(ctx["name"])
        await done.wait()

    queues = [QUEUE, "other_tasks"]
    first, second = [
        await worker_of(redis_url, note, queues=queues, max_jobs=1, ctx={"name": name})
        for name in ("first", "second")
    ]
    async with running(first):
        for queue in queues:
            await waits(pool, queue)
        await asyncio.gather(*[pool.enqueue_job("note", _queue_name=queue) for queue in queues])
        await wait_until(lambda: ran)
        async with running(second):
            await wait_until(lambda: len(ran) == 2)
            done.set()
            await wait_until(lambda: not first.tasks and not second.tasks)
    assert sorted(ran) == ["first", "second"]


async def test_nothing_is_lost_that_comes_while_a_worker_stops(redis_url: str, pool: Pool) -> None:
    """Nor does anything wait for a lease to lapse: an hour, here."""
    runs = 0

    async def count(ctx: dict[str, Any]) -> None:
        nonlocal runs
        runs += 1

    for number in range(30):
        worker = await worker_of(redis_url, count, lease=3600)
        async with running(worker):
            await waits(pool)
            enqueued = asyncio.create_task(pool.enqueue_job("count", _queue_name=QUEUE))
            for _ in range(number):
                await asyncio.sleep(0)
        await enqueued
        heir = await worker_of(redis_url, count, burst=True)
        await heir.async_run()
        await heir.close()
        assert runs == number + 1


async def test_a_message_that_is_no_job_changes_nothing(redis_url: str, pool: Pool) -> None:
    async def note(ctx: dict[str, Any]) -> str:
        return "done"

    worker = await worker_of(redis_url, note)
    async with running(worker):
        await waits(pool)
        (name,) = await pool.zrange(keys.WAITING + QUEUE, 0, -1)
        channel = keys.HANDED + name.decode()
        for nonsense in (b"", b"nonsense", b"\x90", b"\x95\xc0\xc0\xc0\xc0\xc0"):
            assert await pool.publish(channel, nonsense) == 1
        with no_claims():
            job = await pool.enqueue_job("note", _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=10, poll_delay=0.01) == "done"


async def test_a_burst_never_waits(redis_url: str, pool: Pool) -> None:
    async def note(ctx: dict[str, Any]) -> None:
        pass

    await pool.enqueue_job("note", _queue_name=QUEUE)
    worker = await worker_of(redis_url, note, burst=True)
    await worker.async_run()
    await worker.close()
    assert worker.jobs_complete == 1
    assert not await pool.exists(keys.WAITING + QUEUE)


@pytest.mark.parametrize("lease", [0.5, 15])
async def test_a_worker_waits_for_so_long_that_two_leases_suffice_if_it_falls_silent(
    redis_url: str, pool: Pool, lease: float
) -> None:
    """Lapsed leases are found up to 0.6 leases later."""

    async def note(ctx: dict[str, Any]) -> None:
        pass

    worker = await worker_of(redis_url, note, lease=lease)
    async with running(worker):
        await waits(pool)
        assert 0 < await pool.pttl(keys.WAITING + QUEUE) <= 0.4 * lease * 1000


async def test_a_worker_with_a_short_lease_says_in_time_that_it_still_waits(
    redis_url: str, pool: Pool
) -> None:
    async def note(ctx: dict[str, Any]) -> None:
        pass

    until: list[float] = []

    async def said_anew() -> bool:
        found = await pool.zrange(keys.WAITING + QUEUE, 0, -1, withscores=True)
        assert len(found) == 1
        until.extend(score for _, score in found if score not in until)
        return len(until) >= 4

    worker = await worker_of(redis_url, note, lease=1)
    async with running(worker):
        await waits(pool)
        await wait_until(said_anew)


async def test_a_killed_worker_is_not_handed_anything(redis_url: str, pool: Pool) -> None:
    with process(redis_url, "Chaos", environment={"TASK_LEASE": "3600"}) as dead:
        await waits(pool)
        dead.kill()
        dead.wait()
        job = await pool.enqueue_job("chaos.work", 0.0, _queue_name=QUEUE)
        assert not [key async for key in pool.scan_iter(keys.IN_PROGRESS + "*")]
    with process(redis_url, "Chaos"):
        assert job is not None
        assert await job.result(timeout=30, poll_delay=0.01)


async def test_what_a_frozen_worker_was_handed_runs_elsewhere_and_once(
    redis_url: str, pool: Pool
) -> None:
    with process(redis_url, "Chaos") as frozen:
        await waits(pool)
        frozen.send_signal(signal.SIGSTOP)
        job = await pool.enqueue_job("chaos.work", 0.0, _queue_name=QUEUE)
        assert job is not None
        assert await pool.exists(keys.IN_PROGRESS + job.job_id)
        with process(redis_url, "Chaos") as other:
            assert await job.result(timeout=30, poll_delay=0.01) == f"{other.pid}"
        frozen.send_signal(signal.SIGCONT)
        after = await pool.enqueue_job("chaos.work", 0.0, _queue_name=QUEUE)
        assert after is not None
        assert await after.result(timeout=30, poll_delay=0.01) == f"{frozen.pid}"
        assert await pool.llen("started") == 2  # type: ignore[misc]  # typed for both clients


async def test_a_network_that_falls_silent_hands_nothing_over_for_long(
    server: OwnRedis,
) -> None:
    """Redis does not know of it; the worker notices, and listens on a new connection."""

    async def note(ctx: dict[str, Any]) -> str:
        return "done"

    connections = 0

    def tapped() -> Tap:
        nonlocal connections
        connections += 1
        return lambda _: None

    link = Link(server.folder / "link.sock", server.folder / "redis.sock", tapped)
    await link.start()
    async with await create_pool(server.url) as pool:
        worker = await worker_of(f"unix://{link.path}", note)

        async def listeners() -> list[str]:
            return [one["id"] for one in await pool.client_list(_type="pubsub")]

        async with running(worker):
            await waits(pool)
            (listener,) = await listeners()
            before = connections
            link.set(State.SILENT)
            await wait_until(lambda: connections > before, timeout=30)
            link.set(State.UP)

            async def is_gone() -> bool:
                return listener not in await listeners()

            await wait_until(is_gone, timeout=30)
            await waits(pool)
            job = await pool.enqueue_job("note", _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=30, poll_delay=0.01) == "done"
    await link.close()


async def test_after_an_outage_jobs_are_handed_over_again(server: OwnRedis) -> None:
    async def note(ctx: dict[str, Any]) -> str:
        return "done"

    async with await create_pool(server.url) as pool:
        worker = await worker_of(server.url, note)
        async with running(worker):
            await waits(pool)
            server.kill()
            server.start()
            await server.ready()
            await pool.delete(keys.WAITING + QUEUE)
            await waits(pool)
            job = await pool.enqueue_job("note", _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=30, poll_delay=0.01) == "done"
