"""What is done again and again beside the jobs."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from jobs.engine.channel import OUTAGE
from jobs.engine.refusals import explained

logger = logging.getLogger("arq.worker")


async def regularly(duty: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do `duty` about every so many seconds; an outage is waited out, and a failure is logged."""
    away = False
    while True:
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        try:
            await duty()
            away = False
        except OUTAGE as error:
            if not away:
                logger.warning("%s waits for Redis: %s", described(duty), explained(error))
            away = True
        except Exception:
            logger.exception("%s failed", described(duty))


def described(function: object) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
