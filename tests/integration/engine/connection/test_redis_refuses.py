"""A Redis that refuses: it is said in one line, the jobs are kept, and the worker goes on after."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest
from arq.worker import func
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from jobs.engine import (
    JobRequest,
    LazyRedisSettings,
    NoRedisError,
    Pool,
    QueueNames,
    Worker,
    create_pool,
    cron,
    deserialize,
    read_stats,
    serialize,
)
from jobs.testing.waiting import wait_until
from tests.integration.workers import OwnRedis, running

Change = Callable[[Pool, OwnRedis], Awaitable[Any]]
JOBS = 400


@pytest.fixture
async def redis(server: OwnRedis) -> AsyncIterator[Pool]:
    async with await create_pool(server.url, queues=QueueNames(default="q")) as pool:
        yield pool


async def fill(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("maxmemory", 1)
    with pytest.raises(ResponseError, match="maxmemory"):
        await redis.enqueue_job("work", -1)


async def give_memory(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("maxmemory", 0)


async def make_replica(redis: Pool, server: OwnRedis) -> None:
    await redis.replicaof("127.0.0.1", 1)


async def make_master(redis: Pool, server: OwnRedis) -> None:
    await redis.replicaof("NO", "ONE")


async def want_replicas(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("min-replicas-to-write", 1)


async def want_none(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("min-replicas-to-write", 0)


async def want_password(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("requirepass", "new")
    await redis.client_kill_filter(skipme=True)


async def want_no_password(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("requirepass", "")


async def load_slowly(redis: Pool, server: OwnRedis) -> None:
    await redis.bgrewriteaof()  # type: ignore[no-untyped-call]
    await wait_until(lambda: _is_rewritten(redis))
    server.kill()
    server.start(key_load_delay="5000", loading_process_events_interval_bytes="1024")


async def _is_rewritten(redis: Pool) -> bool:
    state = await redis.info("persistence")
    return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]


async def be_loaded(redis: Pool, server: OwnRedis) -> None:
    await server.ready()


@pytest.mark.parametrize(
    ("refuse", "relent", "code", "said"),
    [
        (fill, give_memory, "OOM", "it is full"),
        (make_replica, make_master, "READONLY", "read-only replica"),
        (want_replicas, want_none, "NOREPLICAS", "too few replicas"),
        (want_password, want_no_password, "NOAUTH", "another user or password"),
        (load_slowly, be_loaded, "LOADING", "loading|[Cc]onnect"),
    ],
    ids=["full", "read-only", "too few replicas", "another password", "loading"],
)
async def test_a_worker_waits_and_goes_on(
    server: OwnRedis,
    redis: Pool,
    refuse: Change,
    relent: Change,
    code: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: Counter[int] = Counter()

    async def work(ctx: dict[str, Any], number: int) -> None:
        runs[number] += 1
        await asyncio.sleep(0.01)

    await redis.enqueue_many([JobRequest("work", (number,)) for number in range(JOBS)])
    worker = await _worker(server, work)
    async with running(worker):
        await wait_until(lambda: len(runs) >= JOBS // 4)
        await refuse(redis, server)
        await wait_until(lambda: _refused(redis, code, 6), timeout=20)
        await relent(redis, server)
        await wait_until(lambda: _is_empty(redis), timeout=20)
        assert (await read_stats(redis, "q")).done == JOBS
    assert runs == dict.fromkeys(range(JOBS), 1)
    lines = [one.getMessage() for one in caplog.records if "waits for Redis" in one.getMessage()]
    # What was under way when the server cut its clients off knows only that.
    assert all(re.search(f"{said}|connection to Redis was lost", line) for line in lines)
    claiming = [line for line in lines if line.startswith("claiming")]
    assert re.search(said, claiming[-1])
    assert len(set(claiming)) == len(claiming), "each reason is said once"
    said_alike = Counter(re.sub(r"\d+", "", line) for line in lines)
    assert max(said_alike.values()) <= 2, "two finishing calls may be under way at once"
    assert sum("Redis is back" in one.getMessage() for one in caplog.records) == 1


async def _worker(server: OwnRedis, work: Callable[..., Any]) -> Worker:
    return Worker(
        [func(work, name="work")],
        redis_pool=await create_pool(server.url),
        queues=["q"],
        job_serializer=serialize,
        job_deserializer=deserialize,
        max_jobs=10,
        health_check_interval=1,
        counters=True,
        dead_letters=True,
        observers=[lambda outcome: None],
    )


async def _refused(redis: Pool, code: str, times: int) -> bool:
    try:
        counts = await redis.info("errorstats")
    except RedisConnectionError:
        return False
    return int(counts.get(f"errorstat_{code}", {}).get("count", 0)) >= times


async def _is_empty(redis: Pool) -> bool:
    return not await redis.zcard("q")


async def test_scripts_that_redis_has_forgotten_are_sent_again(
    server: OwnRedis, redis: Pool
) -> None:
    async def work(ctx: dict[str, Any], number: int) -> int:
        return number

    async with running(await _worker(server, work)):
        for number in range(5):
            await redis.script_flush()
            job = await redis.enqueue_job("work", number)
            assert job is not None
            assert await job.result(timeout=5, poll_delay=0.02) == number


async def test_a_redis_that_is_too_old_is_named_at_the_start(tmp_path: Path) -> None:
    async with _says(tmp_path / "redis.sock", "redis_version:5.0.14") as url:
        with pytest.raises(NoRedisError, match=r"^Redis 5\.0\.14 is too old: 6\.2 or newer"):
            await create_pool(url)
        worker = Worker(cron_jobs=[cron("any", hour=1)], redis_settings=LazyRedisSettings(url))
        with pytest.raises(NoRedisError, match="too old"):
            await worker.main()


@asynccontextmanager
async def _says(socket: Path, info: str) -> AsyncIterator[str]:
    """A server that has only this to say of itself."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        while data := await reader.read(4096):
            commands.feed(data)
            while (command := commands.gets()) is not False:
                said = f"${len(info)}\r\n{info}\r\n" if command[0] == b"INFO" else "+PONG\r\n"
                writer.write(said.encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, socket):
        yield f"unix://{socket}"
