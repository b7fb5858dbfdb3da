"""Queues on several Redis servers, represented by two databases of one server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

import pytest
from arq.jobs import JobStatus
from click.testing import CliRunner, Result
from redis import Redis
from redis.exceptions import RedisError

from jobs.cli import main
from jobs.context import DomainSettings, JobContext
from jobs.default import WorkerSettings as DefaultSettings
from jobs.default.scripted import ScriptedSettings
from jobs.embedded.folder import Servers
from jobs.embedded.redis_databases import leased_database
from jobs.engine import JobRequest, Pool, QueueUrls, create_pool, job
from jobs.engine.bootstrap.workers import create_worker, create_workers, serve
from jobs.errors import UsageError
from jobs.settings import get_settings
from tests.integration.scripted_settings import QUEUE, Aside, Chaos
from tests.integration.workers import own_redis, process


@job("far.bounce", queue="far_tasks")
async def from_far(ctx: JobContext, left: int) -> None:
    await ctx["redis"].set("left", left)
    if left:
        await ctx["redis"].enqueue_job(from_near, left - 1)


@job("near.bounce", queue="near_tasks")
async def from_near(ctx: JobContext, left: int) -> None:
    await ctx["redis"].set("left", left)
    await ctx["redis"].enqueue_job(from_far, left - 1)


class Near(DomainSettings):
    queue_name = "near_tasks"
    functions = [from_near]


class Far(DomainSettings):
    queue_name = "far_tasks"
    functions = [from_far]


LEAD, CALL = JobRequest("lead.qualify"), JobRequest("call.dial")


@pytest.fixture
def other_url(embedded_servers: Servers) -> Iterator[str]:
    with leased_database(embedded_servers.redis_url) as url:
        yield url


@pytest.fixture
async def pool(redis_url: str, other_url: str) -> AsyncIterator[Pool]:
    """The calls are on the other one."""
    async with await create_pool(QueueUrls(redis_url, {"call_tasks": other_url})) as pool:
        yield pool


async def test_job_goes_to_the_server_of_its_queue(pool: Pool, redis_url: str) -> None:
    one = await pool.enqueue_job("call.dial", _job_id="one")
    many = await pool.enqueue_many([LEAD, CALL, LEAD, CALL, CALL])
    queues = [job._queue_name for job in many if job]
    assert queues == ["lead_tasks", "call_tasks", "lead_tasks", "call_tasks", "call_tasks"]
    here, there = pool.everywhere()
    assert (here, there) == (pool, pool.at("call_tasks"))
    assert (await here.zcard("lead_tasks"), await here.zcard("call_tasks")) == (2, 0)
    assert (await there.zcard("lead_tasks"), await there.zcard("call_tasks")) == (0, 4)
    assert one is not None
    assert await one.status() == JobStatus.queued
    assert len(await pool.queued_jobs(queue_name="call_tasks")) == 4
    assert await pool.enqueue_job("call.dial", _job_id="one") is None


async def test_pool_of_each_server_reaches_the_others(pool: Pool) -> None:
    there = pool.at("call_tasks")
    assert there.at("lead_tasks") is pool
    assert there.at("call_queue") is pool.at("call_queue") is there
    assert await there.enqueue_job("lead.qualify")
    assert all(await there.enqueue_many([LEAD, CALL]))
    assert (await pool.zcard("lead_tasks"), await there.zcard("call_tasks")) == (2, 1)
    await there.aclose()
    assert await pool.enqueue_job("lead.qualify")


async def test_client_refuses_jobs_of_another_server(pool: Pool) -> None:
    """WAIT would tell of the wrong one."""
    async with pool.client() as one:
        assert await one.enqueue_job("lead.qualify")
        for refused in (one.enqueue_job("call.dial"), one.enqueue_many([LEAD, CALL])):
            with pytest.raises(UsageError, match=r"call_tasks is on another Redis: .*at\("):
                await refused
        assert await one.wait(0, 1) == 0
    async with pool.at("call_tasks").client() as one:
        assert await one.enqueue_job("call.dial")
    assert await pool.at("call_tasks").zcard("call_tasks") == 1


async def test_unavailable_server_does_not_block_jobs_of_the_others(
    redis_url: str, tmp_path: Path
) -> None:
    urls = QueueUrls(redis_url, {"call_tasks": f"unix://{tmp_path}/nobody.sock"})
    async with await create_pool(urls) as pool:
        with pytest.raises(RedisError, match=r"nobody\.sock"):
            await pool.enqueue_many([CALL, LEAD])
        assert await pool.zcard("lead_tasks") == 1


async def test_process_serves_queues_on_several_servers(redis_url: str, other_url: str) -> None:
    urls = QueueUrls(redis_url, {"aside_tasks": other_url})
    environment = {"TASK_QUEUE_URLS": json.dumps(urls.others)}
    async with await create_pool(urls) as pool:
        with process(redis_url, "Chaos,Aside", processes=2, environment=environment) as supervisor:
            for queue in (QUEUE, "aside_tasks"):
                await runs(pool, queue)
                assert await pool.at(queue).llen("ended") == 1  # type: ignore[misc]  # typed for both clients
            supervisor.terminate()
            assert await asyncio.to_thread(supervisor.wait, 15) == 0


async def test_outage_of_one_server_does_not_stop_the_other_worker(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with own_redis() as server:
        with several(monkeypatch, redis_url, {"aside_tasks": server.url}):
            workers = create_workers(Chaos, Aside)
            serving = asyncio.create_task(serve(*workers))
            async with await create_pool() as pool:
                await runs(pool, "aside_tasks")
                server.kill()
                await runs(pool, QUEUE)
                server.start()
                await server.ready()
                await runs(pool, "aside_tasks")
            for worker in workers:
                worker.handle_sig(SIGTERM)
            await serving


async def runs(pool: Pool, queue: str) -> None:
    """A job that is enqueued now is done soon."""
    job = await pool.enqueue_job("chaos.work", 0, _queue_name=queue)
    assert job is not None
    assert await job.result(timeout=20, poll_delay=0.05)


async def test_burst_continues_while_jobs_enqueue_on_another_server(
    redis_url: str, other_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with several(monkeypatch, redis_url, {"far_tasks": other_url}):
        async with await create_pool() as pool:
            await pool.enqueue_job(from_far, 2)
            assert await work_off(Near, Far) > 1
            near, far = pool.everywhere()
            assert (await near.get("left"), await far.get("left")) == (b"1", b"0")


async def test_worker_for_two_servers_is_refused(
    redis_url: str, other_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with several(monkeypatch, redis_url, {"aside_tasks": other_url}):
        with pytest.raises(UsageError, match="differ in redis_settings"):
            create_worker(Chaos, Aside)
        assert [worker.queues for worker in create_workers(Chaos, Aside)] == [
            [QUEUE],
            ["aside_tasks"],
        ]


def test_commands_cover_all_servers(
    redis_url: str, other_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with several(monkeypatch, redis_url, {"default": other_url}):
        made = jobs("enqueue", "default.scripted", "fail:ValidationError", "ok")
        asyncio.run(work_off(DefaultSettings, ScriptedSettings))
        job_id = made.stdout.strip()
        assert job_id in jobs("failed", "list").stdout
        assert "ValidationError" in jobs("failed", "show", job_id).stdout
        state = json.loads(jobs("status", "--json").stdout)
        assert state["dead_letters"] == 1
        assert {one["queue"]: one["dead"] for one in state["queues"]}["default"] == 1
        assert jobs("failed", "retry", job_id).stdout == "1 requeued\n"
        state = json.loads(jobs("status", "--json").stdout)
        assert {one["queue"]: one["waiting"] for one in state["queues"]}["default"] == 1
        with Redis.from_url(redis_url) as first:
            assert first.dbsize() == 0


def jobs(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    return result


async def work_off(*settings: type) -> int:
    """The bursts that it took."""
    rounds = 1
    while await serve(*create_workers(*settings, burst=True)):
        rounds += 1
    return rounds


@contextmanager
def several(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, others: dict[str, str]
) -> Iterator[None]:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("TASK_QUEUE_URLS", json.dumps(others))
    get_settings.cache_clear()
    try:
        yield
    finally:
        get_settings.cache_clear()
