"""Bounded shutdown: each stage has a time limit, a log line, and can be hurried."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.worker.executor import CLOSING_TIMEOUT

logger = logging.getLogger("jobs.worker")

STAGE_TIMEOUT: Final = 30.0
"""Seconds that one stage may take."""
LOG_AFTER: Final = 2.0
"""Seconds after which a stage that is still running is logged."""
_CANCEL_TIMEOUT: Final = 1.0
"""Seconds that an abandoned stage has to react to its cancellation."""
_LABELS_SHOWN: Final = 5


class Shutdown:
    """Runs the stages of one worker's shutdown."""

    def __init__(self) -> None:
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Abandon the current stage, and all later ones that do not end at once."""
        self._hurried.set()

    async def stage(
        self, name: str, work: Awaitable[object], timeout: float = STAGE_TIMEOUT
    ) -> bool:
        """Run one stage.

        Args:
            name: What the shutdown waits for, for log lines.
            work: The stage. It is canceled if it exceeds the timeout or is hurried.
            timeout: Seconds that the stage may take.

        Returns:
            Whether the stage has ended. What it raised is raised here.
        """
        task = asyncio.ensure_future(work)
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            ended = await self._ended(task, hurried, min(LOG_AFTER, timeout))
            if not ended and not hurried.done():
                logger.warning(
                    "shutdown waits for %s, at most %g s; a second signal ends the wait",
                    name, timeout,
                )  # fmt: skip
                await self._ended(task, hurried, timeout - LOG_AFTER)
            if not task.done():
                await asyncio.wait([task], timeout=0)  # hurried stages that end at once still do
        finally:
            hurried.cancel()
            ended = task.done()
            if not ended:
                task.cancel()
        if ended:
            task.result()
            return True
        await asyncio.wait([task], timeout=_CANCEL_TIMEOUT)
        why = "on a second signal" if self._hurried.is_set() else f"after {timeout:g} s"
        logger.error("shutdown no longer waits for %s, %s", name, why)
        if task.done() and not task.cancelled() and task.exception() is not None:
            logger.error("%s failed", name, exc_info=task.exception())
        return False

    async def _ended(
        self, task: asyncio.Task[object], hurried: asyncio.Task[Any], seconds: float
    ) -> bool:
        if seconds > 0:
            await asyncio.wait(
                [task, hurried], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        return task.done()


def canceled_jobs(labels: Sequence[str]) -> str:
    """Return the name of the stage that waits for canceled jobs."""
    shown = ", ".join(labels[:_LABELS_SHOWN])
    more = len(labels) - _LABELS_SHOWN
    return f"jobs that ignore their cancellation: {shown}" + (f" and {more} more" * (more > 0))


async def last_write(write: Awaitable[None]) -> None:
    """Await one of the last writes, as long as Redis is available for it."""
    with contextlib.suppress(*TRANSIENT_ERRORS):
        async with asyncio.timeout(CLOSING_TIMEOUT):
            await write
