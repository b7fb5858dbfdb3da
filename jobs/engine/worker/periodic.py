"""Periodic background tasks."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.outage import Outage
from jobs.engine.connection.raw_connection import REPLY_TIMEOUT

logger = logging.getLogger("arq.worker")


async def run_periodically(function: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Call `function` about every `seconds`. Outages are waited out; failures are logged."""
    outage = Outage(qualified_name(function))
    while True:
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):  # a dead connection may give no error
                await function()
            outage.end()
        except TRANSIENT_ERRORS as error:
            outage.report(error)
        except Exception:
            logger.exception("%s failed", qualified_name(function))


def qualified_name(function: object) -> str:
    """Return the name of a function for log lines."""
    return getattr(function, "__qualname__", None) or repr(function)
