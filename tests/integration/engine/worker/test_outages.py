"""Outages of Redis: workers resume by themselves.

No job is lost or completed twice, and no worker counts as lost because Redis was unavailable.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from arq.worker import func

import jobs.engine.worker.executor
import jobs.engine.worker.shutdown
from jobs.chaos.proxies import Link, State, Tap
from jobs.engine import JobRequest, Pool, Worker, create_pool, deserialize, read_stats, serialize
from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.queue import keys
from jobs.engine.queue.claim import MAX_EXPIRED_LEASES
from jobs.engine.queue.inspection import left_behind
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.worker.leases import Leases
from jobs.testing.waiting import wait_until
from tests.integration.scripted_settings import QUEUE
from tests.integration.workers import own_redis, process, running

LEASE = 0.5


@pytest.mark.parametrize("state", [State.CUT, State.SILENT, State.HALF_OPEN])
async def test_unreachable_redis_loses_no_job(state: State) -> None:
    async with own_redis() as server, linked(server.folder) as link:
        redis = await create_pool(server.url)
        async with aclosing(redis):
            with process(f"unix://{link.path}", "Chaos", "--max-jobs", "20") as cut_off:
                await _enqueue(redis, 300)
                await wait_until(lambda: _has_done(redis, 1), timeout=30)
                link.set(state)
                with process(server.url, "Chaos", "--max-jobs", "20") as other:
                    # Claims of the worker that is cut off run here after their leases expire.
                    await wait_until(lambda: _has_done(redis, 300), timeout=30)
                    assert await _is_empty(redis)
                    other.terminate()
                    assert await asyncio.to_thread(other.wait, 15) == 0
                link.set(State.UP)
                await _enqueue(redis, 100)
                await wait_until(lambda: _has_done(redis, 400), timeout=30)
                assert await _is_empty(redis)
                cut_off.terminate()
                assert await asyncio.to_thread(cut_off.wait, 15) == 0
            stats = await read_stats(redis, QUEUE)
            assert (stats.done, stats.retried, stats.dead, stats.discarded) == (400, 0, 0, 0)
            assert not await left_behind(redis, [QUEUE])


async def test_claim_whose_reply_was_lost_does_not_wait_for_its_lease() -> None:
    async def work(ctx: dict[Any, Any]) -> None: ...

    lost = asyncio.Event()

    def cut(data: bytes) -> None:
        if b"lost-id" in data and not lost.is_set():  # first in the reply to the claim
            lost.set()
            link.set(State.CUT)

    async with own_redis() as server, await create_pool(server.url) as redis:
        async with linked(server.folder, lambda: cut) as link:
            worker = await _worker(f"unix://{link.path}", work, lease=3600)
            async with running(worker):
                job = await redis.enqueue_job(
                    "long", _job_id="lost-id", _queue_name=QUEUE, _defer_by=0.01
                )
                assert job is not None
                await asyncio.wait_for(lost.wait(), 10)
                link.set(State.UP)
                await job.result(timeout=10, poll_delay=0.05)
        assert not await redis.exists(keys.LOST), "no lease has expired"


async def test_worker_closes_while_redis_does_not_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (jobs.engine.worker.shutdown, jobs.engine.worker.executor):
        monkeypatch.setattr(module, "CLOSING_TIMEOUT", 0.2)
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(ctx: dict[Any, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    async def note_end(ctx: dict[Any, Any]) -> None:
        ended.set()

    async with own_redis() as server, await create_pool(server.url) as redis:
        worker = await _worker(server.url, work, after_job_end=note_end)
        main = asyncio.create_task(worker.main())
        await redis.enqueue_job("long", _queue_name=QUEUE)
        await started.wait()
        server.freeze()
        try:
            worker.handle_sig(signal.SIGUSR1)
            async with asyncio.timeout(20):
                await worker.close()
        finally:
            server.thaw()
        assert ended.is_set()
        main.cancel()
        await asyncio.wait([main])


async def test_job_survives_outages_longer_than_its_lease() -> None:
    started: list[str] = []
    over = asyncio.Event()

    async def long(ctx: dict[Any, Any]) -> None:
        started.append(ctx["job_id"])
        await over.wait()

    async with own_redis() as server, await create_pool(server.url) as redis:
        job = await redis.enqueue_job("long", _queue_name=QUEUE)
        assert job is not None
        async with (
            running(await _worker(server.url, long)),
            running(await _worker(server.url, long)),
        ):
            await wait_until(lambda: started)
            for _ in range(MAX_EXPIRED_LEASES + 1):
                server.kill()
                await asyncio.sleep(2 * LEASE)
                server.start()
                await server.ready()
                await wait_until(lambda: redis.exists(keys.IN_PROGRESS + job.job_id))
            over.set()
            await job.result(timeout=10, poll_delay=0.05)
    assert started == [job.job_id]


@pytest.mark.parametrize("frozen", [False, True])
async def test_workers_can_renew_leases_after_an_outage_before_jobs_are_requeued(
    frozen: bool,
) -> None:
    async with own_redis() as server, await create_pool(server.url) as redis:
        channels = ScriptChannel(redis.connection_pool), ScriptChannel(redis.connection_pool)
        holder, other = (QueueOperations(channel, [QUEUE], LEASE) for channel in channels)
        leases = Leases(
            other, redis, [QUEUE], LEASE, on_lost=lambda _: None, on_reclaimed=lambda: None
        )
        job = await redis.enqueue_job("any", _queue_name=QUEUE)
        assert job is not None
        claims = (await holder.claim(1)).claims
        await leases.reclaim()

        if frozen:
            server.freeze()
            reclaim = asyncio.create_task(leases.reclaim())
            await asyncio.sleep(2 * LEASE)
            server.thaw()
            await reclaim
        else:
            server.kill()
            with pytest.raises(TRANSIENT_ERRORS):
                await leases.reclaim()
            await asyncio.sleep(LEASE)
            server.start()
            await server.ready()
            await leases.reclaim()

        assert await holder.renew(claims) == []
        await wait_until(lambda: _is_requeued(redis, job.job_id, leases))
        assert await holder.renew(claims) == claims, "a worker without heartbeat loses the job"
        for channel in channels:
            await channel.close()


async def _worker(url: str, function: Any, lease: float = LEASE, **options: Any) -> Worker:
    return Worker(
        [func(function, name="long")],
        redis_pool=await create_pool(url),
        queue_name=QUEUE,
        lease=lease,
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
        **options,
    )


async def _is_requeued(redis: Pool, job_id: str, leases: Leases) -> bool:
    await leases.reclaim()
    score = await redis.zscore(QUEUE, job_id)
    return score is not None and score > 0


@asynccontextmanager
async def linked(folder: Path, tapped: Callable[[], Tap] | None = None) -> AsyncIterator[Link]:
    """Yield a proxy to the Redis server in `folder`."""
    link = Link(folder / "link.sock", folder / "redis.sock", tapped)
    await link.start()
    try:
        yield link
    finally:
        await link.close()


async def _enqueue(redis: Pool, count: int) -> None:
    await redis.enqueue_many([JobRequest("chaos.wait", (0.05,), queue=QUEUE)] * count)


async def _has_done(redis: Pool, count: int) -> bool:
    return (await read_stats(redis, QUEUE)).done >= count


async def _is_empty(redis: Pool) -> bool:
    return not await redis.zcard(QUEUE)
