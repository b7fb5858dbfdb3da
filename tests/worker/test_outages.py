"""A Redis that a worker cannot reach for a while, though it runs: the worker goes on by itself,
nothing is lost, and nothing is finished twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from jobs.chaos.links import Link, State
from jobs.engine import JobRequest, Pool, create_pool, read_stats
from jobs.engine.leftovers import left_behind
from jobs.testing.waiting import wait_until
from tests.worker.scripted_settings import QUEUE
from tests.worker.workers import own_redis, process


@pytest.mark.parametrize("state", [State.CUT, State.SILENT, State.HALF_OPEN])
async def test_an_unreachable_redis(state: State) -> None:
    async with own_redis() as server, linked(server.folder) as link:
        redis = await create_pool(server.url)
        async with aclosing(redis):
            with process(f"unix://{link.path}", "Chaos", "--max-jobs", "20") as cut_off:
                await _enqueue(redis, 300)
                await wait_until(lambda: _has_done(redis, 1), timeout=30)
                link.set(state)
                with process(server.url, "Chaos", "--max-jobs", "20") as other:
                    # What the one that is cut off had claimed runs here when its leases lapse.
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


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[Link]:
    link = Link(folder / "link.sock", folder / "redis.sock")
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
