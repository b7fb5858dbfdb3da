"""What is done again and again beside the jobs."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.outage import Outage
from jobs.engine.connection.raw_connection import REPLY_TIMEOUT

logger = logging.getLogger("arq.worker")


async def run_periodically(duty: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Do `duty` about every so many seconds; an outage is waited out, and a failure is logged."""
    outage = Outage(qualified_name(duty))
    while True:
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):  # a connection may be dead without a word
                await duty()
            outage.end()
        except TRANSIENT_ERRORS as error:
            outage.report(error)
        except Exception:
            logger.exception("%s failed", qualified_name(duty))


def qualified_name(function: object) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
