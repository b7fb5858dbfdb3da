"""What the commands share: the servers, opened for one command, and the jobs that there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from jobs.context import DomainSettings
from jobs.embedded.resolve import database_url, redis_url
from jobs.engine import Pool, QueueNames, QueueUrls, create_pool
from jobs.engine.clock import clock_from
from jobs.store import migrate
from jobs.store.postgres import PostgresStore
from settings import Settings, get_settings


@asynccontextmanager
async def opened_pool() -> AsyncIterator[Pool]:
    """The settings' Redis, or several, else the embedded one, which is started."""
    settings = get_settings()
    urls = QueueUrls.from_settings(settings, redis_url(settings, start=True))
    pool = await create_pool(urls, clock=clock_from(settings.jobs_clock))
    try:
        yield pool
    finally:
        await pool.aclose()


@asynccontextmanager
async def opened_store() -> AsyncIterator[PostgresStore]:
    """The settings' PostgreSQL, else the embedded one, which is started and migrated."""
    settings = get_settings()
    url = await _ready_database(settings)
    async with opened_pool() as pool:
        store = await PostgresStore.open(
            url, publish=pool.enqueue_many, clock=clock_from(settings.jobs_clock)
        )
        try:
            yield store
        finally:
            await store.close()


async def _ready_database(settings: Settings) -> str:
    url = database_url(settings, start=True)
    if settings.database_url is None:
        # Nobody else looks after the embedded one.
        await migrate.upgrade_async(url)
    return url


def domain_settings() -> dict[str, type[DomainSettings]]:
    """Each domain's WorkerSettings, by the name of its queue."""
    return {
        queue: import_module(f"jobs.{queue.removesuffix('_tasks')}").WorkerSettings
        for queue in QueueNames.from_settings().all()
    }


def scheduled_jobs() -> list[str]:
    """The names of the jobs that the domains' crons enqueue."""
    return [
        cron.coroutine.__qualname__
        for one in domain_settings().values()
        for cron in one.cron_jobs or ()
    ]


def job_names() -> frozenset[str]:
    """The name of each job, and its aliases."""
    return frozenset(name for one in domain_settings().values() for name in one.functions.names)
