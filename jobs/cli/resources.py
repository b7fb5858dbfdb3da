"""Redis pools, stores and worker settings shared by the commands.

Commands that do something start the embedded servers (`open_pool`, `open_store`). Commands that
only look never do (`read_pool`, `read_store`): an empty new server would look like an all-clear.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from jobs.clock import clock_from
from jobs.context import DomainSettings
from jobs.embedded.resolve import database_url, redis_url
from jobs.engine import JobRequest, NoRedisError, Pool, QueueUrls, create_pool
from jobs.engine.connection.urls import Address
from jobs.engine.queue.names import job_names, load_configured
from jobs.errors import DatabaseError, ServerError, UsageError
from jobs.privacy.masking import mask_url
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
    pool = await _connect(settings, redis_url(settings, start=True))
    try:
        yield pool
    finally:
        await pool.aclose()


@asynccontextmanager
async def read_pool() -> AsyncIterator[tuple[Pool, str]]:
    """Open a pool for a command that only looks: it starts no server.

    Returns:
        A context manager with the pool and the name of its Redis, without passwords; leaving it
        closes the pool.

    Raises:
        ServerError: No Redis is running. The message says how to start or name one.
    """
    settings = get_settings()
    url = redis_url(settings, start=False)
    try:
        pool = await _connect(settings, url)
    except NoRedisError as error:
        remedy = "start it, or correct REDIS_URL" if settings.redis_url else "run `ringline up`"
        raise ServerError(f"{error}; {remedy}") from error
    try:
        yield pool, name_of_redis(settings, url)
    finally:
        await pool.aclose()


async def _connect(settings: Settings, url: str) -> Pool:
    configured_classes()
    urls = QueueUrls.from_settings(settings, url)
    return await create_pool(urls, clock=clock_from(settings.ringline_clock))


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
            url, publish=pool.enqueue_many, clock=clock_from(settings.ringline_clock)
        )
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def read_store() -> AsyncIterator[tuple[PostgresStore, str]]:
    """Open a store for a command that only looks: it starts no server and migrates nothing.

    Returns:
        A context manager with the store and the name of its database, without passwords; leaving
        it closes the store.

    Raises:
        ServerError: No PostgreSQL is running. The message says how to start or name one.
    """
    settings = get_settings()
    url = database_url(settings, start=False)
    clock = clock_from(settings.ringline_clock)
    try:
        store = await PostgresStore.open(url, publish=_refuse_jobs, clock=clock)
    except DatabaseError as error:
        remedy = "correct DATABASE_URL" if settings.database_url else "run `ringline up`"
        raise ServerError(
            f"{error}; if PostgreSQL is not running, start it, or {remedy}"
        ) from error
    try:
        yield store, name_of_database(settings, url)
    finally:
        await store.close()


async def _refuse_jobs(_: Sequence[JobRequest]) -> None:
    raise RuntimeError("a command that only reads enqueued a job")


def name_of_redis(settings: Settings, default: str) -> str:
    """Return the name of the Redis servers, without passwords.

    Args:
        settings: The settings: REDIS_URL may be unset, TASK_QUEUE_URLS may name more servers.
        default: URL of the default server.
    """
    if settings.redis_url is None:
        first = f"embedded Redis in {settings.ringline_home.absolute()}"
    else:
        options = Address.of(default).options
        numbered = f" db {options['db']}" if "path" in options and "db" in options else ""
        first = f"Redis {mask_url(default)}{numbered}"
    others = QueueUrls.from_settings(settings, default).all()[1:]
    return ", ".join([first, *map(mask_url, others)])


def name_of_database(settings: Settings, url: str) -> str:
    """Return the name of the database, without passwords.

    Args:
        settings: The settings; DATABASE_URL may be unset.
        url: URL of the database.
    """
    if settings.database_url is None:
        return f"embedded PostgreSQL in {settings.ringline_home.absolute()}"
    return f"PostgreSQL {mask_url(url)}"


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
