"""The relay: publishes jobs that other processes left in the outbox, within about two seconds.

It sleeps until a notification that some process has written follow-up jobs. A healthy process
deletes its rows before they are old enough for the relay, which finds only what a crash left. The
job `default.relay_outbox`, a cron, looks at all rows, in case a notification is lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final

import structlog

NOTIFY_EVERY: Final = 1.0
"""Seconds between two notifications of one process, which does not notify at each commit."""
LOOK_EVERY: Final = 1.0
"""Seconds between two looks after a notification."""
LOOKS: Final = 3
"""Looks per notification: a row written up to NOTIFY_EVERY later is OLD_ENOUGH at the last."""
OLD_ENOUGH: Final = timedelta(seconds=1)
"""Real time after which the process that wrote a row has probably failed to publish it."""
RECENT: Final = timedelta(minutes=5)
"""Real time that a look goes back, unless the last look failed. While an old transaction is open,
PostgreSQL keeps dead rows, and looks at all rows would get slower and slower."""
LONGEST_PAUSE: Final = 15.0

Listening = Callable[[], AbstractAsyncContextManager[asyncio.Event]]
Look = Callable[[bool], Awaitable[int]]

log = structlog.get_logger(__name__)


async def keep_relaying(listening: Listening, look: Look) -> None:
    """Look for jobs after each notification, until canceled.

    Args:
        listening: Opens an event that is set when follow-up jobs were written. look: Publishes
        jobs, of all rows or of recent ones. After a failure it is called again, with
            growing delays.
    """
    everything = True
    async with listening() as written:
        while True:
            await written.wait()
            written.clear()
            looks, pause = LOOKS, LOOK_EVERY
            while looks:
                await asyncio.sleep(pause)
                try:
                    found = await look(everything)
                except Exception as error:  # noqa: BLE001  # Redis or PostgreSQL is away
                    log.warning("outbox.relay_waits", error=type(error).__name__)
                    everything, pause = True, min(2 * pause, LONGEST_PAUSE)
                    continue
                everything, looks, pause = False, looks - 1, LOOK_EVERY
                if found:
                    log.info("outbox.relayed", jobs=found)
