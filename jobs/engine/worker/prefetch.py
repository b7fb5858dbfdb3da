"""Prefetch: claimed jobs that wait a moment for a free slot.

If jobs are short, each slot would be empty for the duration of a claim. So a worker claims a little
ahead: about as many jobs as it starts while one claim is under way. A job that waits too long after
all is requeued, and another worker may be free for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from jobs.engine.queue.claim import Claim

MAX_WAIT: Final = 0.1
"""Seconds after which a waiting claim is requeued."""
_RATE_WINDOW: Final = 0.05
"""Seconds over which the rate of started jobs is measured."""
_CLAIMS_COVERED: Final = 2
_MIN_COVERED: Final = 0.005
"""The prefetch covers this many claims and this many seconds. Below half of its size it is filled
up again, since each claim has a fixed cost."""


class _Waiting(NamedTuple):
    claim: Claim
    until: float


class Prefetch:
    """Holds claims that are not started yet, the oldest first.

    Args:
        free: Return the number of free slots.
        start: Start jobs.
        release: Requeue jobs as they were.
        lease: Seconds that a claim is held without being renewed.
        now: Monotonic time in seconds.
    """

    def __init__(
        self,
        *,
        free: Callable[[], int],
        start: Callable[[Sequence[Claim]], None],
        release: Callable[[Sequence[Claim]], None],
        lease: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free
        self._start = start
        self._release = release
        self._lease = lease
        self._now = now
        self._size = 0
        self._starting = False
        self._window_start, self._started, self._rate = now(), 0, 0.0
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, claims: Sequence[Claim], took: float) -> None:
        """Start `claims` as soon as there are slots for them.

        Args:
            claims: Newly claimed jobs.
            took: Seconds that the claim took.
        """
        now = self._now()
        number = 0 if self._waiting else max(self._free(), 0)
        self._begin(claims[:number])
        self._waiting.extend(_Waiting(claim, now + MAX_WAIT) for claim in claims[number:])
        self.start_waiting()  # some jobs may have ended already
        self._set_timer()
        if now - self._window_start > _RATE_WINDOW:
            self._rate = self._started / (now - self._window_start)
            self._window_start, self._started = now, 0
        # A claim that has to wait for half of MAX_WAIT would soon be requeued.
        covered = min(max(_CLAIMS_COVERED * took, _MIN_COVERED), MAX_WAIT / 2)
        self._size = int(self._rate * covered)

    def missing(self, requested: int) -> int:
        """Return the number of further jobs to claim.

        Args:
            requested: Jobs that claims under way may bring beyond the free slots.
        """
        missing = self._size - len(self._waiting) - requested
        return missing if 2 * missing >= self._size else 0

    def start_waiting(self) -> None:
        """Start waiting claims for which there are slots."""
        if not self._waiting or self._starting:  # a job may end within its start
            return
        self._starting = True
        while (number := min(self._free(), len(self._waiting))) > 0:
            self._begin([self._waiting.popleft().claim for _ in range(number)])
        self._starting = False

    def _begin(self, claims: Sequence[Claim]) -> None:
        """Start claims, but requeue those so old that their lease may have expired.

        Claims get old while the process is frozen. The oldest claim comes first.
        """
        oldest = self._now() - self._lease / 2
        if claims and claims[0].claimed_at < oldest:
            self._release([claim for claim in claims if claim.claimed_at < oldest])
            claims = [claim for claim in claims if claim.claimed_at >= oldest]
        self._started += len(claims)
        self._start(claims)

    def close(self) -> None:
        """Requeue all waiting claims."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._requeue(len(self._waiting))

    def _set_timer(self) -> None:
        if self._waiting and self._timer is None:
            seconds = self._waiting[0].until - self._now()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._now()
        self._requeue(sum(waiting.until <= now for waiting in self._waiting))
        self._set_timer()

    def _requeue(self, number: int) -> None:
        if number:
            self._release([self._waiting.popleft().claim for _ in range(number)])
