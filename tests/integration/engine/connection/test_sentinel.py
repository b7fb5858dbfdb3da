"""Redis behind Sentinels: failover under load, and connection options."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

import arq
import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from jobs.engine import LazyRedisSettings, NoRedisError, Pool, create_pool, deserialize
from jobs.testing.waiting import wait_until
from tests.integration.engine.connection.sentinels import SERVICE, Trio, sentinel_trio
from tests.integration.scripted_settings import QUEUE
from tests.integration.workers import process


@pytest.fixture(scope="module")
def trio() -> Iterator[Trio]:
    """Start Sentinels, a master and a replica. Tests leave their state unchanged."""
    trio = Trio()
    try:
        asyncio.run(trio.ready())
        yield trio
    finally:
        trio.end()


async def test_a_failover_under_load_loses_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async with sentinel_trio("for/sentinels") as trio, await create_pool(trio.url) as redis:
        old = await trio.master()
        with process(trio.url, "Chaos", "--lease", "2") as worker:
            before = [await _enqueue(redis, f"before-{number}") for number in range(200)]
            async with redis.client() as client:  # WAIT covers the writes of one connection
                await _enqueue(client, "before-the-last")
                assert await client.wait(1, 10_000) == 1
            await wait_until(lambda: _done(redis, before, at_least=50), timeout=30)
            trio.kill(old)
            during = [await _enqueue(redis, f"during-{number}") for number in range(50)]
            # The first Sentinel may learn of the failover later than the producer's Sentinel.
            await wait_until(lambda: _has_failed_over(trio, old), timeout=20)
            after = [await _enqueue(redis, f"after-{number}") for number in range(50)]
            await wait_until(lambda: _done(redis, [*before, *during, *after]), timeout=30)
            assert worker.poll() is None
        assert await redis.zcard(QUEUE) == 0
    lines = capfd.readouterr().err.splitlines()
    reasons = [line.partition("claiming waits for Redis")[2] for line in lines]
    assert max(Counter(filter(None, reasons)).values()) == 1, "each reason is logged once"
    assert sum("Redis is available again" in line for line in lines) == 1


async def _has_failed_over(trio: Trio, old: int) -> bool:
    return await trio.master() != old


async def _enqueue(redis: Pool, job_id: str) -> Job:
    """Enqueue under a fixed job id, and retry until Redis accepts the job."""
    while True:
        try:
            job = await redis.enqueue_job("chaos.wait", 0.05, _job_id=job_id, _queue_name=QUEUE)
        except (RedisError, OSError):
            await asyncio.sleep(0.1)
        else:
            return job or Job(job_id, redis, QUEUE, deserialize)


async def _done(redis: Pool, jobs: list[Job], at_least: int | None = None) -> bool:
    try:
        kept = await redis.exists(*[f"arq:result:{job.job_id}" for job in jobs])
    except RedisError:
        return False
    return bool(kept >= (len(jobs) if at_least is None else at_least))


@pytest.mark.parametrize(
    "pool_of",
    [
        pytest.param(arq.create_pool, id="arq", marks=pytest.mark.xfail(reason="a defect of 0.28")),
        pytest.param(create_pool, id="ours"),
    ],
)
async def test_18_connection_options_survive_sentinels(
    trio: Trio, pool_of: Callable[..., Awaitable[ArqRedis]]
) -> None:
    settings = RedisSettings(
        host=[("127.0.0.1", port) for port in trio.sentinels],
        sentinel=True,
        sentinel_master=SERVICE,
        password=trio.password,
        database=3,
        conn_timeout=7,
        max_connections=11,
        retry_on_timeout=True,
        retry=Retry(ConstantBackoff(0.1), 5),
    )
    redis = await pool_of(settings)
    try:
        connection: Any = await redis.connection_pool.get_connection()
        await redis.connection_pool.release(connection)
        assert (connection.host, connection.port, connection.db) == (
            "127.0.0.1",
            await trio.master(),
            3,
        )
        assert connection.socket_connect_timeout == 7
        assert connection.retry_on_timeout
        assert connection.retry._retries == 5
        assert redis.connection_pool.max_connections == 11
    finally:
        await _close(redis)


async def _close(redis: ArqRedis) -> None:
    """Close the pool and the Sentinel connections, which arq leaves open."""
    await redis.aclose(close_connection_pool=True)
    connections: Any = redis.connection_pool
    for sentinel in connections.sentinel_manager.sentinels:
        await sentinel.aclose()


async def test_arq_pool_finds_the_master(trio: Trio) -> None:
    settings = LazyRedisSettings(trio.url)
    redis = await arq.create_pool(settings)
    assert await redis.ping()
    await _close(redis)


async def test_wrong_password_is_reported_in_one_line(trio: Trio) -> None:
    with pytest.raises(
        NoRedisError, match=r"cannot use Redis at .*: wrong user or password"
    ) as raised:
        await create_pool(trio.url.replace(quote(trio.password), "guessed"))
    assert "\n" not in str(raised.value)
    assert "guessed" not in str(raised.value)
