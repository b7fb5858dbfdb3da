"""How long a worker waits before it claims again: a pure matter of what the last claims brought."""

import asyncio
import logging
import random
from typing import Final

from jobs.engine.connection.outage import Outage
from jobs.engine.queue.claim import ClaimReply

logger = logging.getLogger("jobs.worker")

_SHORTEST: Final = 0.002
_LONGEST_CROWD: Final = 0.1


class PollingInterval:
    """longest: seconds after which a worker looks anew, though nothing was heard. quiet: the same
    for queues that are empty, where a change is heard of."""

    def __init__(self, poll_delay: float, quiet: float) -> None:
        self.longest = max(poll_delay, 0.05)
        self._quiet = quiet
        self._empty = 0
        self._told = False
        self._in_vain = 0
        self._outage = Outage("claiming")

    def until_next(self, claimed: ClaimReply, *, told: bool) -> float:
        """Seconds to wait at most after a claim that left slots free.

        told: a change of the queues is heard of. Without that the queue is polled, the more slowly
        the longer it stays empty.
        """
        self._empty = 0 if claimed.claims else self._empty + 1
        self._in_vain = self._in_vain + 1 if self._told and self._empty else 0
        self._told = False
        wait = self.longest
        if not told:
            wait = min(wait, float(_SHORTEST * 2 ** min(self._empty, 16)))
        elif claimed.remaining == 0:
            wait = self._quiet
        if claimed.next_due_in is not None:
            wait = min(wait, claimed.next_due_in + 0.001)
        return wait

    async def crowd(self) -> None:
        """A change was heard of. Many idle workers hear of each job, and one gets it: those who
        came in vain come back more slowly."""
        self._told = True
        if self._in_vain > 1:
            longest = min(_SHORTEST * 2 ** min(self._in_vain, 16), _LONGEST_CROWD)
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret

    def served(self) -> None:
        """A job came without a claim: what is heard of next is most likely that one."""
        self._in_vain = 0

    async def outage(self, error: Exception) -> None:
        """Redis is away, or refuses: wait, the longer the more often it happened."""
        await self._outage.back_off(error)

    def recovered(self) -> None:
        if self._outage.end():
            logger.warning("Redis is back")
