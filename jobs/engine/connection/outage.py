"""An outage of Redis as one part of a worker meets it: what is logged, and how long to wait."""

import asyncio
import logging
import random
from typing import Final

from jobs.engine.connection.failures import explain

logger = logging.getLogger("jobs.worker")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
_DOUBLINGS: Final = 10


class Outage:
    """waiting: what does not go on meanwhile, as the line about it begins.

    Each reason is said once, until it is over: a lost connection may turn out to be a changed
    password.
    """

    def __init__(self, waiting: str) -> None:
        self._waiting = waiting
        self._reasons: set[str] = set()
        self._waits = 0

    def report(self, error: BaseException) -> None:
        """Redis is away, or refuses."""
        reason = explain(error)
        if reason not in self._reasons:
            self._reasons.add(reason)
            logger.warning("%s waits for Redis: %s", self._waiting, reason)

    async def back_off(self, error: BaseException) -> None:
        """The same; then wait, the longer the more often it happened."""
        self.report(error)
        longest = min(_FIRST_PAUSE * 2 ** min(self._waits, _DOUBLINGS), _LONGEST_PAUSE)
        self._waits += 1
        await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret

    def end(self) -> bool:
        """Redis has answered; whether that ends an outage."""
        ended = bool(self._reasons)
        self._reasons.clear()
        self._waits = 0
        return ended
