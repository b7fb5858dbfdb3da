"""PostgreSQL databases, created and dropped; `url` names any database of the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import asyncpg

_VOLATILE: Final = ("fsync", "synchronous_commit", "full_page_writes")


def url_for(url: str, name: str) -> str:
    """Return the URL of the database `name` on the same server."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


async def exists(url: str, name: str) -> bool:
    """Return whether the server has a database of that name."""
    async with _connected(url) as connection:
        rows = await connection.fetch("SELECT 1 FROM pg_database WHERE datname = $1", name)
    return bool(rows)


async def create(url: str, name: str, *, template: str | None = None) -> None:
    """Create a database.

    Args:
        url: URL of any database of the server.
        name: Name of the new database.
        template: Database to copy; it must have no connections.
    """
    copy = f' TEMPLATE "{template}"' if template else ""
    async with _connected(url) as connection:
        await connection.execute(f'CREATE DATABASE "{name}"{copy}')


async def drop(url: str, name: str) -> None:
    """Drop a database if it exists, and close all connections to it."""
    async with _connected(url) as connection:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def make_volatile(url: str) -> None:
    """Trade durability for speed, for tests: a power failure may lose data."""
    async with _connected(url) as connection:
        for setting in _VOLATILE:
            await connection.execute(f"ALTER SYSTEM SET {setting} = off")
        await connection.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def _connected(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
