"""The relay: has what other processes left in the outbox published within about two seconds.

It sleeps until it is told that follow-ups were written, by whatever process. Rows of a healthy
process are gone before they are old enough to look at; what is found is what a crash left. The job
`default.relay_outbox`, a cron, is the fallback for notices that got lost: it looks at all rows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final

import structlog

NOTIFY_EVERY: Final = 1.0
"""Seconds in which one process tells the relays of its follow-ups once, not at each commit."""
LOOK_EVERY: Final = 1.0
"""Seconds between two looks, while there is a reason to look."""
LOOKS: Final = 3
"""After a notice: a row written up to NOTIFY_EVERY after it is OLD_ENOUGH at the last one."""
OLD_ENOUGH: Final = timedelta(seconds=1)
"""Real time after which nobody is likely to be about to publish a row any more."""
RECENT: Final = timedelta(minutes=5)
"""Real time that a look goes back, unless the one before failed. Dead rows that PostgreSQL may not
remove, since an old transaction is open, would make looks at all rows slower and slower."""
LONGEST_PAUSE: Final = 15.0

Listening = Callable[[], AbstractAsyncContextManager[asyncio.Event]]
Look = Callable[[bool], Awaitable[int]]

log = structlog.get_logger(__name__)


async def keep_relaying(listening: Listening, look: Look) -> None:
    """Looks whenever it is told to, for as long as it is left to run.

    listening: opens an event that is set when follow-ups were written. look: publishes what was
    left, of all rows or of the recent ones only; when that fails, it is called again, after longer
    and longer pauses, until it succeeds.
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
