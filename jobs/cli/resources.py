"""Redis pools, stores and worker settings shared by the commands."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from jobs.clock import clock_from
from jobs.context import DomainSettings
from jobs.embedded.resolve import database_url, redis_url
from jobs.engine import Pool, QueueUrls, create_pool
from jobs.engine.queue.names import job_names, load_configured
from jobs.errors import UsageError
from jobs.settings import Settings, get_settings
from jobs.store.postgres import migrate
from jobs.store.postgres.store import PostgresStore

_DOMAINS: Final = {
    "lead_tasks": "jobs.lead",
    "call_tasks": "jobs.call",
    "campaign_tasks": "jobs.campaign",
    "analytics_tasks": "jobs.analytics",
    "default": "jobs.default",
}
"""Package of each queue's domain, imported on use: a domain's worker needs no other domain."""


@asynccontextmanager
async def open_pool() -> AsyncIterator[Pool]:
    """Open a pool on the configured Redis servers.

    Without REDIS_URL, the pool uses the embedded Redis and starts it if needed.

    Returns:
        A context manager with the pool; leaving it closes the pool.

    Raises:
        ServerError: The embedded Redis cannot be started.
    """
    settings = get_settings()
    configured_classes()
    urls = QueueUrls.from_settings(settings, redis_url(settings, start=True))
    pool = await create_pool(urls, clock=clock_from(settings.jobs_clock))
    try:
        yield pool
    finally:
        await pool.aclose()


@asynccontextmanager
async def open_store() -> AsyncIterator[PostgresStore]:
    """Open a store on the configured PostgreSQL, with a pool that publishes its outbox.

    Without DATABASE_URL, the store uses the embedded PostgreSQL: it is started if needed, and
    its schema is migrated.

    Returns:
        A context manager with the store; leaving it closes the store and its pool.

    Raises:
        ServerError: An embedded server cannot be started.
    """
    settings = get_settings()
    url = await _ready_database(settings)
    async with open_pool() as pool:
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
        # Only an operator migrates a configured database.
        await migrate.upgrade_async(url)
    return url


def settings_of(queue: str) -> type[DomainSettings]:
    """Return the built-in `WorkerSettings` class that serves a queue.

    Args:
        queue: Canonical name of the queue.

    Returns:
        The settings class of the queue's domain.

    Raises:
        UsageError: No built-in domain serves the queue.
    """
    if queue not in _DOMAINS:
        raise UsageError(
            f"no known settings class serves {queue}: name your own class by its path, such as "
            "my_package.WorkerSettings, here or in TASK_WORKERS"
        )
    settings: type[DomainSettings] = import_module(_DOMAINS[queue]).WorkerSettings
    return settings


def configured_classes() -> list[type]:
    """Import the settings classes of TASK_WORKERS, from the working folder too.

    Returns:
        The classes, in order.

    Raises:
        UsageError: A path is bad, or an import fails.
    """
    find_modules_here()
    return load_configured(get_settings())


def find_modules_here() -> None:
    """Let imports find modules in the working folder, as with `python -m`."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)


def known_classes() -> list[type]:
    """Return the settings classes that commands know.

    Returns:
        The built-in classes in the order of the domains, then those of TASK_WORKERS.
    """
    return list(dict.fromkeys([*map(settings_of, _DOMAINS), *configured_classes()]))


def scheduled_jobs() -> list[str]:
    """Return the names of the jobs that the cron schedules of the built-in domains enqueue.

    Returns:
        Job names in the order of the domains.
    """
    return [
        cron.coroutine.__qualname__
        for settings in map(settings_of, _DOMAINS)
        for cron in settings.cron_jobs or ()
    ]


def known_jobs() -> frozenset[str]:
    """Return the names of the jobs that commands know.

    Returns:
        Job names, aliases included, of the built-in domains and of TASK_WORKERS.
    """
    return frozenset(name for cls in known_classes() for name in job_names(cls))
