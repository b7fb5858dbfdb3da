"""Hand-off: producers claim their jobs for an idle worker."""

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
        [func(function, name=function.__name__) for function in functions],
        redis_pool=pool,
        queues=options.pop("queues", [QUEUE]),
        job_serializer=serialize,
        job_deserializer=deserialize,
        poll_delay=30,
        **options,
    )


async def until_announced(pool: Pool, queue: str = QUEUE, number: int = 1) -> None:
    """Wait until `number` workers are announced as idle for the queue."""

    async def are_announced() -> bool:
        return bool(await pool.zcard(keys.WAITING + queue) >= number)

    await wait_until(are_announced)


@contextmanager
def no_claims() -> Iterator[None]:
    """Hold all claims back during the block."""
    over, call = asyncio.Event(), ScriptChannel.call

    async def call_later(self: ScriptChannel, script: Any, *args: Any, **options: Any) -> Any:
        if script is CLAIM:
            await over.wait()
        return await call(self, script, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptChannel, "call", call_later)
        try:
            yield
        finally:
            over.set()


async def test_idle_worker_receives_a_job_without_a_claim(redis_url: str, pool: Pool) -> None:
    async def note(ctx: dict[str, Any], word: str) -> list[Any]:
        return [word, ctx["job_try"], ctx["score"]]

    worker = await worker_of(redis_url, note)
    async with running(worker):
        await until_announced(pool)
        with no_claims():
            job = await pool.enqueue_job("note", "word", _queue_name=QUEUE, _job_id="chosen")
            assert job is not None
            word, number, score = await job.result(timeout=10, poll_delay=0.01)
        assert (word, number) == ("word", 1)
        info = await job.result_info()
        assert info is not None
        assert abs(score / 1000 - info.enqueue_time.timestamp()) < 1


async def test_every_job_of_a_series_is_handed_to_the_worker(redis_url: str, pool: Pool) -> None:
    async def double(ctx: dict[str, Any], number: int) -> int:
        return 2 * number

    worker = await worker_of(redis_url, double)
    async with running(worker):
        for number in range(20):
            await until_announced(pool)
            job = await pool.enqueue_job("double", number, _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=10, poll_delay=0.001) == 2 * number
    assert not await pool.exists(QUEUE)
    assert not [key async for key in pool.scan_iter(keys.IN_PROGRESS + "*")]


@pytest.mark.parametrize("options", [{"_defer_by": 0.05}, {"_defer_by": -60}, {"argument": LARGE}])
async def test_job_that_cannot_be_handed_off_is_claimed(
    redis_url: str, pool: Pool, options: dict[str, Any]
) -> None:
    async def length(ctx: dict[str, Any], word: str) -> int:
        return len(word)

    argument = options.pop("argument", "x")
    worker = await worker_of(redis_url, length)
    async with running(worker):
        await until_announced(pool)
        job = await pool.enqueue_job("length", argument, _queue_name=QUEUE, **options)
        assert job is not None
        assert await job.result(timeout=10, poll_delay=0.01) == len(argument)


@pytest.mark.parametrize("past", ["tries", "abort", "expired leases", "unknown function", "none"])
async def test_job_with_a_history_is_not_handed_off(redis_url: str, pool: Pool, past: str) -> None:
    """Only a claim brings the history of a job."""

    async def note(ctx: dict[str, Any]) -> None:
        pass

    worker = await worker_of(redis_url, note)
    async with running(worker):
        await until_announced(pool)
        match past:
            case "tries":
                await pool.set(keys.RETRY + "chosen", 2)
            case "abort":
                await pool.zadd(keys.ABORT, {"chosen": 1})
            case "expired leases":
                await pool.hset(keys.LOST, "chosen", "1")  # type: ignore[misc]  # typed for both clients
            case "unknown function":
                await pool.hset(keys.LOST, keys.UNKNOWN + "chosen", "1")  # type: ignore[misc]  # typed for both clients
        with no_claims():
            job = await pool.enqueue_job("note", _queue_name=QUEUE, _job_id="chosen")
            assert job is not None
            is_waiting = (await pool.zscore(QUEUE, "chosen") or 0) > 0
            assert is_waiting == (past != "none")
        await wait_until(lambda: worker.jobs_complete)


async def test_job_aborted_before_it_is_enqueued_is_not_started(redis_url: str, pool: Pool) -> None:
    async def never(ctx: dict[str, Any]) -> None:
        pytest.fail("the job was aborted")

    worker = await worker_of(redis_url, never, allow_abort_jobs=True)
    async with running(worker):
        await until_announced(pool)
        await pool.zadd(keys.ABORT, {"chosen": 2**53})
        job = await pool.enqueue_job("never", _queue_name=QUEUE, _job_id="chosen")
        assert job is not None
        with suppress(asyncio.CancelledError):
            await job.result(timeout=10, poll_delay=0.01)
        info = await job.result_info()
        assert info is not None
        assert not info.success


async def test_busy_worker_is_not_announced(redis_url: str, pool: Pool) -> None:
    done = asyncio.Event()

    async def long(ctx: dict[str, Any]) -> None:
        await done.wait()

    worker = await worker_of(redis_url, long, queues=[QUEUE, "other_tasks"])
    async with running(worker):
        await until_announced(pool)
        await pool.enqueue_job("long", _queue_name=QUEUE)
        await wait_until(lambda: worker.tasks)

        async def is_withdrawn() -> bool:
            return not await pool.exists(keys.WAITING + QUEUE, keys.WAITING + "other_tasks")

        await wait_until(is_withdrawn)
        done.set()
        await until_announced(pool)
        await until_announced(pool, "other_tasks")


async def test_job_beyond_the_capacity_goes_to_another_worker(redis_url: str, pool: Pool) -> None:
    """A worker of two queues may be handed a job of each queue at the same time."""
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
            await until_announced(pool, queue)
        await asyncio.gather(*[pool.enqueue_job("note", _queue_name=queue) for queue in queues])
        await wait_until(lambda: ran)
        async with running(second):
            await wait_until(lambda: len(ran) == 2)
            done.set()
            await wait_until(lambda: not first.tasks and not second.tasks)
    assert sorted(ran) == ["first", "second"]


async def test_job_handed_to_a_stopping_worker_is_requeued(redis_url: str, pool: Pool) -> None:
    """No job waits for a lease to expire, which takes an hour here."""
    runs = 0

    async def count(ctx: dict[str, Any]) -> None:
        nonlocal runs
        runs += 1

    for number in range(30):
        worker = await worker_of(redis_url, count, lease=3600)
        async with running(worker):
            await until_announced(pool)
            enqueued = asyncio.create_task(pool.enqueue_job("count", _queue_name=QUEUE))
            for _ in range(number):
                await asyncio.sleep(0)
        await enqueued
        successor = await worker_of(redis_url, count, burst=True)
        await successor.async_run()
        await successor.close()
        assert runs == number + 1


async def test_unreadable_message_changes_nothing(redis_url: str, pool: Pool) -> None:
    async def note(ctx: dict[str, Any]) -> str:
        return "done"

    worker = await worker_of(redis_url, note)
    async with running(worker):
        await until_announced(pool)
        (name,) = await pool.zrange(keys.WAITING + QUEUE, 0, -1)
        channel = keys.HANDED + name.decode()
        for message in (b"", b"nonsense", b"\x90", b"\x95\xc0\xc0\xc0\xc0\xc0"):
            assert await pool.publish(channel, message) == 1
        with no_claims():
            job = await pool.enqueue_job("note", _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=10, poll_delay=0.01) == "done"


async def test_burst_worker_is_never_announced(redis_url: str, pool: Pool) -> None:
    async def note(ctx: dict[str, Any]) -> None:
        pass

    await pool.enqueue_job("note", _queue_name=QUEUE)
    worker = await worker_of(redis_url, note, burst=True)
    await worker.async_run()
    await worker.close()
    assert worker.jobs_complete == 1
    assert not await pool.exists(keys.WAITING + QUEUE)


@pytest.mark.parametrize("lease", [0.5, 15])
async def test_announcement_is_short_enough_for_recovery_within_two_leases(
    redis_url: str, pool: Pool, lease: float
) -> None:
    """An expired lease is found at most 0.6 leases after it has expired."""

    async def note(ctx: dict[str, Any]) -> None:
        pass

    worker = await worker_of(redis_url, note, lease=lease)
    async with running(worker):
        await until_announced(pool)
        assert 0 < await pool.pttl(keys.WAITING + QUEUE) <= 0.4 * lease * 1000


async def test_announcement_is_renewed_before_it_ends_with_a_short_lease(
    redis_url: str, pool: Pool
) -> None:
    async def note(ctx: dict[str, Any]) -> None:
        pass

    ends: list[float] = []

    async def is_renewed() -> bool:
        announced = await pool.zrange(keys.WAITING + QUEUE, 0, -1, withscores=True)
        assert len(announced) == 1
        ends.extend(score for _, score in announced if score not in ends)
        return len(ends) >= 4

    worker = await worker_of(redis_url, note, lease=1)
    async with running(worker):
        await until_announced(pool)
        await wait_until(is_renewed)


async def test_killed_worker_is_handed_no_job(redis_url: str, pool: Pool) -> None:
    with process(redis_url, "Chaos", environment={"TASK_LEASE": "3600"}) as killed:
        await until_announced(pool)
        killed.kill()
        killed.wait()
        job = await pool.enqueue_job("chaos.work", 0.0, _queue_name=QUEUE)
        assert not [key async for key in pool.scan_iter(keys.IN_PROGRESS + "*")]
    with process(redis_url, "Chaos"):
        assert job is not None
        assert await job.result(timeout=30, poll_delay=0.01)


async def test_job_handed_to_a_frozen_worker_runs_once_on_another(
    redis_url: str, pool: Pool
) -> None:
    with process(redis_url, "Chaos") as frozen:
        await until_announced(pool)
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


async def test_hand_off_resumes_on_a_new_connection_if_the_network_is_silent(
    server: OwnRedis,
) -> None:
    """Redis does not notice the silent connection. The worker does, and opens another one."""

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
            return [client["id"] for client in await pool.client_list(_type="pubsub")]

        async with running(worker):
            await until_announced(pool)
            (listener,) = await listeners()
            before = connections
            link.set(State.SILENT)
            await wait_until(lambda: connections > before, timeout=30)
            link.set(State.UP)

            async def is_gone() -> bool:
                return listener not in await listeners()

            await wait_until(is_gone, timeout=30)
            await until_announced(pool)
            job = await pool.enqueue_job("note", _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=30, poll_delay=0.01) == "done"
    await link.close()


async def test_hand_off_resumes_after_an_outage(server: OwnRedis) -> None:
    async def note(ctx: dict[str, Any]) -> str:
        return "done"

    async with await create_pool(server.url) as pool:
        worker = await worker_of(server.url, note)
        async with running(worker):
            await until_announced(pool)
            server.kill()
            server.start()
            await server.ready()
            await pool.delete(keys.WAITING + QUEUE)
            await until_announced(pool)
            job = await pool.enqueue_job("note", _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=30, poll_delay=0.01) == "done"
