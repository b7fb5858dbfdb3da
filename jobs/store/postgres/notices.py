"""LISTEN: a connection on which PostgreSQL notifies this process of writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from jobs.store.postgres.session import connected

PROBE_EVERY: Final = 30.0
"""Seconds without a notification after which the connection is probed."""
ANSWER_WITHIN: Final = 5.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def listening(engine: AsyncEngine, channel: str) -> AsyncIterator[asyncio.Event]:
    """Open an event that is set at each notification on a channel, while the block runs.

    A broken connection is replaced, with growing delays during an outage. The event is then set,
    too, in case notifications were lost. The connection does not belong to the pool.

    Args:
        engine: The database.
        channel: The channel's name.
    """
    told = asyncio.Event()
    task = asyncio.create_task(_listen_on_and_on(engine, channel, told))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _listen_on_and_on(engine: AsyncEngine, channel: str, told: asyncio.Event) -> None:
    pause = FIRST_PAUSE
    while True:
        try:
            async with connected(engine.execution_options(isolation_level="AUTOCOMMIT")) as own:
                driver: Any = (await own.get_raw_connection()).driver_connection
                await own.run_sync(lambda connection: connection.detach())
                await driver.add_listener(channel, lambda *_: told.set())
                told.set()
                pause = FIRST_PAUSE
                await _until_it_breaks(driver)
        except Exception as error:  # noqa: BLE001  # whatever broke it, a new one is opened
            log.warning("notices.interrupted", error=type(error).__name__, pause=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _until_it_breaks(driver: Any) -> None:
    """Return when the server has closed the connection; raise if it is dead."""
    broken = asyncio.Event()
    driver.add_termination_listener(lambda *_: broken.set())
    while not broken.is_set():
        try:
            async with asyncio.timeout(PROBE_EVERY):
                await broken.wait()
        except TimeoutError:
            await driver.execute("SELECT 1", timeout=ANSWER_WITHIN)
