"""Handling of Redis outages: one log line per reason, and backoff between retries."""

import asyncio
import logging
import random
from typing import Final

from jobs.engine.connection.backoff import backoff_delay
from jobs.engine.connection.failures import explain

logger = logging.getLogger("jobs.worker")

_FIRST_DELAY: Final = 0.05
_MAX_DELAY: Final = 5.0


class Outage:
    """State of one activity while Redis is unavailable.

    Each distinct reason is logged once per outage: a lost connection may turn out to be a changed
    password.

    Args:
        activity: Name of the activity that is waiting. Log lines begin with it.
    """

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._reasons: set[str] = set()
        self._retries = 0

    def report(self, error: BaseException) -> None:
        """Log why Redis is unavailable, unless this outage already logged the same reason.

        Args:
            error: Error raised by the call to Redis.
        """
        reason = explain(error)
        if reason not in self._reasons:
            self._reasons.add(reason)
            logger.warning("%s waits for Redis: %s", self._activity, reason)

    async def back_off(self, error: BaseException) -> None:
        """Report the error, then sleep with exponential backoff and jitter.

        Args:
            error: Error raised by the call to Redis.
        """
        self.report(error)
        delay = backoff_delay(self._retries, _FIRST_DELAY, _MAX_DELAY)
        self._retries += 1
        await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - no secret

    def end(self) -> bool:
        """Reset the state after a successful call.

        Returns:
            True if this call ended an outage.
        """
        was_out = bool(self._reasons)
        self._reasons.clear()
        self._retries = 0
        return was_out
