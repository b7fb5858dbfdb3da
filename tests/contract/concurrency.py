"""Concurrent transactions whose order of events a test decides."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from jobs.store.postgres.session import open_engine

SEQUENTIAL_SCANS: Final[Mapping[str, str]] = {
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
}
"""Settings of a session that reads tables in the order of their rows on disk.

PostgreSQL chooses such a plan for a small table, and an index for a large one.
"""
DEADLOCK_TIMEOUT: Final = "20ms"
"""Time that PostgreSQL waits for a lock before it looks for a deadlock; 1 s by default."""


def configured_engine(database_url: str, **settings: str) -> AsyncEngine:
    """Return an engine whose sessions have these settings, and report deadlocks at once."""
    engine = open_engine(database_url, pool_size=4)
    settings = {"deadlock_timeout": DEADLOCK_TIMEOUT} | settings

    def configure(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        for name, value in settings.items():
            cursor.execute(f"SET {name} = '{value}'")
        cursor.close()
        connection.commit()

    event.listen(engine.sync_engine, "connect", configure)
    return engine
