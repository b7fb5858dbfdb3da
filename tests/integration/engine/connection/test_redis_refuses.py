"""Redis refuses commands: the worker logs one line, loses no job, and resumes afterwards."""

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


async def require_replicas(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("min-replicas-to-write", 1)


async def require_no_replicas(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("min-replicas-to-write", 0)


async def require_password(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("requirepass", "new")
    await redis.client_kill_filter(skipme=True)


async def require_no_password(redis: Pool, server: OwnRedis) -> None:
    await redis.config_set("requirepass", "")


async def load_slowly(redis: Pool, server: OwnRedis) -> None:
    await redis.bgrewriteaof()  # type: ignore[no-untyped-call]
    await wait_until(lambda: _is_rewritten(redis))
    server.kill()
    server.start(key_load_delay="5000", loading_process_events_interval_bytes="1024")


async def _is_rewritten(redis: Pool) -> bool:
    state = await redis.info("persistence")
    return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]


async def finish_loading(redis: Pool, server: OwnRedis) -> None:
    await server.ready()


@pytest.mark.parametrize(
    ("refuse", "recover", "code", "reason"),
    [
        (fill, give_memory, "OOM", "out of memory"),
        (make_replica, make_master, "READONLY", "read-only replica"),
        (require_replicas, require_no_replicas, "NOREPLICAS", "too few replicas"),
        (require_password, require_no_password, "NOAUTH", "wrong user or password"),
        (load_slowly, finish_loading, "LOADING", "loading|[Cc]onnect"),
    ],
    ids=["full", "read-only", "too few replicas", "wrong password", "loading"],
)
async def test_worker_waits_and_resumes(
    server: OwnRedis,
    redis: Pool,
    refuse: Change,
    recover: Change,
    code: str,
    reason: str,
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
        await recover(redis, server)
        await wait_until(lambda: _is_empty(redis), timeout=20)
        assert (await read_stats(redis, "q")).done == JOBS
    assert runs == dict.fromkeys(range(JOBS), 1)
    lines = [line for line in caplog.messages if "waits for Redis" in line]
    # A call pending when the server cut its clients off reports only the lost connection.
    assert all(re.search(f"{reason}|connection to Redis was lost", line) for line in lines)
    claiming = [line for line in lines if line.startswith("claiming")]
    assert re.search(reason, claiming[-1])
    assert len(set(claiming)) == len(claiming), "each reason is logged once"
    similar_lines = Counter(re.sub(r"\d+", "", line) for line in lines)
    assert max(similar_lines.values()) <= 2, "at most two finish calls are in flight"
    assert sum("Redis is available again" in line for line in caplog.messages) == 1


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


async def test_flushed_scripts_are_sent_again(server: OwnRedis, redis: Pool) -> None:
    async def work(ctx: dict[str, Any], number: int) -> int:
        return number

    async with running(await _worker(server, work)):
        for number in range(5):
            await redis.script_flush()
            job = await redis.enqueue_job("work", number)
            assert job is not None
            assert await job.result(timeout=5, poll_delay=0.02) == number


async def test_unsupported_redis_is_reported_at_startup(tmp_path: Path) -> None:
    async with _server_with_info(tmp_path / "redis.sock", "redis_version:5.0.14") as url:
        with pytest.raises(NoRedisError, match=r"^Redis 5\.0\.14 is too old: use 6\.2 or newer"):
            await create_pool(url)
        worker = Worker(cron_jobs=[cron("any", hour=1)], redis_settings=LazyRedisSettings(url))
        with pytest.raises(NoRedisError, match="too old"):
            await worker.main()


@asynccontextmanager
async def _server_with_info(socket: Path, info: str) -> AsyncIterator[str]:
    """Run a server that replies to INFO with `info` and to everything else with PONG."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        while data := await reader.read(4096):
            commands.feed(data)
            while (command := commands.gets()) is not False:
                reply = f"${len(info)}\r\n{info}\r\n" if command[0] == b"INFO" else "+PONG\r\n"
                writer.write(reply.encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, socket):
        yield f"unix://{socket}"
