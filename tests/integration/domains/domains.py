"""Workers of the domains in this process, on the servers of a test."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest

from jobs.clock import SystemClock
from jobs.engine import Pool, create_pool
from jobs.engine.bootstrap.workers import create_worker, serve
from jobs.engine.client.request import JobRequest
from jobs.engine.connection.urls import Address
from jobs.settings import get_settings
from jobs.store.postgres.store import PostgresStore


@contextmanager
def settings_for(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, database_url: str
) -> Iterator[None]:
    """Set the settings of this process, with quick retries, until the block ends."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TASK_DEFAULT_RETRY_DELAY", "0.01")
    get_settings.cache_clear()
    try:
        yield
    finally:
        get_settings.cache_clear()


async def burst(redis_url: str, *settings: type) -> None:
    """Run the jobs of settings classes until their queues are empty."""
    # Passed explicitly: a settings class resolves its Redis only once per process.
    redis = Address.of(redis_url).arq_settings()
    await serve(create_worker(*settings, redis_settings=redis, burst=True, max_jobs=10))


@asynccontextmanager
async def opened(redis_url: str, database_url: str) -> AsyncIterator[tuple[Pool, PostgresStore]]:
    """Open a producer's pool and store."""
    async with await create_pool(redis_url) as pool:
        store = await PostgresStore.open(
            database_url, publish=pool.enqueue_many, clock=SystemClock()
        )
        try:
            yield pool, store
        finally:
            await store.close()


async def unpublished(jobs: Sequence[JobRequest], /) -> None:
    """Fail as a process that dies before it publishes anything; the `publish` of a store."""
    raise ConnectionError("the process is gone")
