"""Bringing a database to this version's schema."""

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
    """Brings the schema to this version; several processes may do so at once.

    grant_to: a role that gets what workers need (`jobs.store.postgres.grants`).

    Not for use within a running event loop: see `upgrade_async`. Raises DatabaseError, and
    UsageError for a role to which nothing can be granted.
    """
    asyncio.run(upgrade_async(database_url, grant_to=grant_to))


async def upgrade_async(database_url: str, *, grant_to: str | None = None) -> None:
    """As `upgrade`, within an event loop."""
    await _on_connection(database_url, partial(_upgrade, grant_to=grant_to))


def current(database_url: str) -> str | None:
    """The revision that the database has; None for an empty one."""
    return asyncio.run(_on_connection(database_url, _revision))


def newest() -> str | None:
    """The revision that this version's schema has."""
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
