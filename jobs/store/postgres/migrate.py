"""Migrations: bring a database to the current schema."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from jobs.store.postgres.grants import grant
from jobs.store.postgres.session import database_errors, open_engine

T = TypeVar("T")

_LOCK = 0x52494E47
"""The advisory lock under which one process at a time migrates and grants."""


def upgrade(database_url: str, *, grant_to: str | None = None) -> None:
    """Bring the schema to the current version. Several processes may do so at once.

    Within a running event loop, use `upgrade_async`.

    Args:
        database_url: The database.
        grant_to: A role that gets the privileges of `jobs.store.postgres.grants`.

    Raises:
        DatabaseError: The database cannot be reached or migrated.
        UsageError: Nothing can be granted to the role.
    """
    asyncio.run(upgrade_async(database_url, grant_to=grant_to))


async def upgrade_async(database_url: str, *, grant_to: str | None = None) -> None:
    """Do the same as `upgrade`, within an event loop."""
    await _on_connection(database_url, partial(_upgrade, grant_to=grant_to))


def current(database_url: str) -> str | None:
    """Return the revision of a database; None if it is empty."""
    return asyncio.run(_on_connection(database_url, _revision))


def newest() -> str | None:
    """Return the newest revision."""
    return ScriptDirectory.from_config(_config()).get_current_head()


async def _on_connection(database_url: str, function: Callable[[Connection], T]) -> T:
    engine = open_engine(database_url, pool_size=1)
    try:
        with database_errors():
            async with engine.begin() as connection:
                return await connection.run_sync(function)
    finally:
        await engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "jobs.store.postgres:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection, grant_to: str | None) -> None:
    is_current = _revision(connection) == newest()
    if is_current and grant_to is None:
        return
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if not is_current:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    if grant_to is not None:
        grant(connection, grant_to)
