"""What stands in Redis, and who trusts it."""

from contextlib import aclosing
from typing import Any

import pytest
from arq.connections import ArqRedis

from jobs.engine import Worker, deserialize, serialize
from jobs.engine.monitoring import health
from jobs.testing.waiting import wait_until
from tests.defects.kinds import FAILS_ON_ARQ, POOLS, Kind, PoolOf, quick, result_of
from tests.integration.workers import connect, own_redis, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


async def test_a_worker_that_stops_leaves_the_others_health_alone(
    kind: Kind, redis: ArqRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 15: one key for all workers of a queue, deleted by whichever exits first."""
    monkeypatch.setattr(health, "MAX_INTERVAL", 0.5)
    one = kind([quick], redis_pool=await connect(redis_url))
    two = kind([quick], redis_pool=await connect(redis_url))
    async with running(one):
        await wait_until(lambda: redis.exists("arq:queue:health-check"))
        async with running(two):
            assert await result_of(await redis.enqueue_job("quick")) == "done"
        await wait_until(lambda: redis.exists("arq:queue:health-check"), timeout=2)


async def test_each_worker_has_a_health_key(redis: ArqRedis, redis_url: str) -> None:
    """Defect 15: one key for all workers of a queue, deleted by whichever exits first."""
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


@pytest.mark.parametrize("pool_of", POOLS)
async def test_an_expired_job_does_not_break_the_list_of_queued_ones(
    pool_of: PoolOf, redis_url: str
) -> None:
    """Defect 16: the list raises."""
    redis = await pool_of(redis_url)
    try:
        await redis.enqueue_job("quick", _job_id="x", _queue_name="q")
        await redis.enqueue_job("quick", _job_id="y", _queue_name="q")
        await redis.delete("arq:job:x")
        assert [one.job_id for one in await redis.queued_jobs(queue_name="q")] == ["y"]
    finally:
        await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("pool_of", POOLS)
async def test_results_are_listed_without_holding_redis_up(pool_of: PoolOf) -> None:
    """Defect 16: KEYS goes through the whole database, and all others wait for it."""
    async with own_redis() as server:
        redis = await pool_of(server.url)
        async with aclosing(redis):
            assert await redis.all_job_results() == []
            assert "cmdstat_keys" not in await redis.info("commandstats")


@pytest.mark.parametrize("kind_of", FAILS_ON_ARQ)
async def test_a_pickle_runs_no_code_in_the_worker(
    kind_of: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 17: whoever writes to Redis runs code in the worker."""
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
