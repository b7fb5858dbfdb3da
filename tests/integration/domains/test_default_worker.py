"""Jobs of the default queue on a worker, Redis and PostgreSQL."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from arq.jobs import Job

from jobs.clock import SystemClock
from jobs.default import WorkerSettings
from jobs.default.scripted import ScriptedSettings
from jobs.engine import DeadLetterStore, deserialize
from jobs.engine.bootstrap.workers import create_worker
from jobs.engine.client.request import JobRequest
from jobs.engine.connection.urls import Address
from jobs.store.postgres.store import PostgresStore
from jobs.testing.waiting import wait_until
from tests.integration.domains.domains import burst, opened, settings_for, unpublished
from tests.integration.workers import running


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, redis_url: str, database_url: str) -> Iterator[None]:
    with settings_for(monkeypatch, redis_url, database_url):
        yield


async def test_script_plays_one_step_per_execution(redis_url: str, database_url: str) -> None:
    async with opened(redis_url, database_url) as (pool, _):
        ping = await pool.enqueue_job("default.ping")
        job = await pool.enqueue_job("default.scripted", "fail", "retry_after:0.02", "ok")
        dead = await pool.enqueue_job("default.scripted", "fail:ValidationError")
        assert ping is not None
        assert job is not None
        assert dead is not None
        await burst(redis_url, WorkerSettings, ScriptedSettings)
        assert await ping.result(timeout=1) == "pong"
        assert await job.result(timeout=1) == 3
        letters = await DeadLetterStore(pool).find()
        assert [(letter.job_id, letter.error_class, letter.tries) for letter in letters] == [
            (dead.job_id, "ValidationError", 1)
        ]


async def test_outbox_of_a_dead_process_is_published_and_runs_once(
    redis_url: str, database_url: str
) -> None:
    gone = await PostgresStore.open(database_url, publish=unpublished, clock=SystemClock())
    async with gone.begin() as work:
        job_id = work.enqueue("default.scripted", "ok")
    await gone.close()
    async with opened(redis_url, database_url) as (pool, store):
        assert await store.outbox_size() == 1
        await wait_until(lambda: store.relay(timedelta(seconds=0.1)))
        await burst(redis_url, WorkerSettings, ScriptedSettings)
        job = Job(str(job_id), pool, "default", deserialize)
        assert await job.result(timeout=1) == 1
        assert await store.outbox_size() == 0


async def test_job_published_twice_runs_once(redis_url: str, database_url: str) -> None:
    """Let the relay die between publishing and deleting, while the job waits and after its end."""
    async with opened(redis_url, database_url) as (pool, store):

        async def publish_and_die(jobs: Sequence[JobRequest], /) -> None:
            await pool.enqueue_many(jobs)
            raise ConnectionError("the process is gone")

        gone = await PostgresStore.open(database_url, publish=publish_and_die, clock=SystemClock())
        async with gone.begin() as work:
            work.enqueue("default.scripted", "ok")
        with pytest.raises(ConnectionError):
            await gone.relay(timedelta())
        assert await pool.zcard("default") == 1
        await burst(redis_url, WorkerSettings, ScriptedSettings)
        with pytest.raises(ConnectionError):
            await gone.relay(timedelta())
        assert await pool.zcard("default") == 0
        assert await store.outbox_size() == 1
        await gone.close()


async def test_worker_relays_at_once_after_a_process_died(
    redis_url: str, database_url: str
) -> None:
    """PostgreSQL notifies the worker; the cron, which relays every 15 s, is off."""
    redis = Address.of(redis_url).arq_settings()
    worker = create_worker(WorkerSettings, ScriptedSettings, redis_settings=redis, cron_jobs=[])
    async with opened(redis_url, database_url) as (pool, store), running(worker):
        await wait_until(lambda: "store" in worker.ctx)
        gone = await PostgresStore.open(database_url, publish=unpublished, clock=SystemClock())
        async with gone.begin() as work:
            job_id = work.enqueue("default.scripted", "ok")
        await gone.close()
        job = Job(str(job_id), pool, "default", deserialize)
        info = await wait_until(job.result_info)
        assert info is not None
        assert info.result == 1

        async def is_empty() -> bool:
            return await store.outbox_size() == 0

        await wait_until(is_empty)  # the row is deleted right after the job is published
