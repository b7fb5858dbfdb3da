"""The Redis user from docs/redis.md has exactly the permissions that the project needs."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from jobs.engine import (
    DeadLetterFilter,
    DeadLetterStore,
    EngineSettings,
    JobRequest,
    Pool,
    create_pool,
    cron,
    job,
    read_stats,
)
from jobs.engine.bootstrap.workers import create_worker
from jobs.errors import ValidationError
from jobs.testing.waiting import wait_until
from tests.integration.workers import OwnRedis, running

DOCUMENT = Path(__file__).parents[4] / "docs/redis.md"
QUEUE = "user_tasks"
JOBS = ("user.double", "user.fail")


@job("user.fail", queue=QUEUE)
async def fail(ctx: dict[str, Any], number: int) -> None:
    raise ValidationError(f"number {number} is bad")


@job("user.double", queue=QUEUE)
async def double(ctx: dict[str, Any], number: int) -> int:
    return 2 * number


class Settings(EngineSettings):
    queue_name = QUEUE
    functions = (fail, double)
    cron_jobs = (cron("user.double", hour=3, missed="once"),)


@pytest.fixture
async def admin(server: OwnRedis) -> AsyncIterator[Pool]:
    async with await create_pool(server.url) as admin:
        (command,) = re.findall(r"^ACL SETUSER .*$", DOCUMENT.read_text(), re.MULTILINE)
        await admin.execute_command(*command.split())  # type: ignore[no-untyped-call]
        yield admin


@pytest.fixture
async def url(server: OwnRedis, admin: Pool) -> str:
    return server.url.replace("unix://", "unix://ringline:change-me@")


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Pool]:
    async with await create_pool(url) as redis:
        yield redis


async def test_user_can_do_everything_the_project_needs(url: str, admin: Pool, redis: Pool) -> None:
    worker = create_worker(Settings, redis_pool=await create_pool(url), allow_abort_jobs=True)
    async with running(worker):
        good, bad = await redis.enqueue_many(
            [JobRequest(name, (21,), queue=QUEUE) for name in JOBS]
        )
        assert good is not None
        assert bad is not None
        assert await good.result(timeout=10, poll_delay=0.02) == 42
        dead_letters = DeadLetterStore(redis)
        await wait_until(lambda: dead_letters.count())
        assert await dead_letters.retry(DeadLetterFilter()) == 1
        await wait_until(lambda: dead_letters.count())
        assert await dead_letters.discard(bad.job_id) == 1
        assert (await read_stats(redis, QUEUE)).dead == 2
        assert len(await redis.all_job_results()) == 2
    assert await admin.execute_command("ACL", "LOG") == []  # type: ignore[no-untyped-call]


async def test_jobs_are_claimed_if_channels_are_not_permitted(url: str, admin: Pool) -> None:
    restrictions = ("resetchannels", "-publish", "-subscribe")
    await admin.execute_command("ACL", "SETUSER", "ringline", *restrictions)  # type: ignore[no-untyped-call]
    async with await create_pool(url) as redis:
        worker = create_worker(Settings, redis_pool=await create_pool(url))
        async with running(worker):
            for number in range(3):
                job = await redis.enqueue_job("user.double", number, _queue_name=QUEUE)
                assert job is not None
                assert await job.result(timeout=10, poll_delay=0.02) == 2 * number


async def test_user_cannot_administer_the_server(redis: Pool) -> None:
    for command in (("CONFIG", "SET", "maxmemory", "1"), ("SHUTDOWN",), ("ACL", "LIST")):
        with pytest.raises(NoPermissionError):
            await redis.execute_command(*command)  # type: ignore[no-untyped-call]
