"""What the commands share: the servers, opened for one command, and the jobs that there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Final

from jobs.clock import clock_from
from jobs.context import DomainSettings
from jobs.embedded.resolve import database_url, redis_url
from jobs.engine import Pool, QueueUrls, create_pool
from jobs.errors import UsageError
from jobs.settings import Settings, get_settings
from jobs.store.postgres import migrate
from jobs.store.postgres.store import PostgresStore

_MODULES: Final = {
    "lead_tasks": "jobs.lead",
    "call_tasks": "jobs.call",
    "campaign_tasks": "jobs.campaign",
    "analytics_tasks": "jobs.analytics",
    "default": "jobs.default",
}
"""Imported when they are asked for: one domain's worker needs no other."""


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


def settings_of(queue: str) -> type[DomainSettings]:
    """The WorkerSettings of a queue of ours. Raises UsageError for others, which are settings of
    this project's users."""
    if queue not in _MODULES:
        raise UsageError(
            f"no settings class of ours serves {queue}: "
            "give the path of yours, as in my_package.WorkerSettings"
        )
    found: type[DomainSettings] = import_module(_MODULES[queue]).WorkerSettings
    return found


def domain_settings() -> dict[str, type[DomainSettings]]:
    """Each domain's WorkerSettings, by the name of its queue."""
    return {queue: settings_of(queue) for queue in _MODULES}


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
