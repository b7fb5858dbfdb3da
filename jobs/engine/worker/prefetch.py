"""Claims in hand for which no slot is free yet, but will be in a moment.

Where jobs are short, each slot would stand empty for as long as a claim takes. So a worker claims a
little ahead: about as many jobs as it is seen to start while a claim is under way. What then waits
longer than a moment after all goes back to the queue, where another worker may be free for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from jobs.engine.queue.claim import Claim
from jobs.engine.worker.capacity import Capacity

PATIENCE: Final = 0.1
"""Seconds after which a claim in hand goes back."""
_WINDOW: Final = 0.05
"""Seconds over which it is counted how many jobs start."""
_FLIGHTS: Final = 2
_SHORTEST: Final = 0.005
"""The reserve is to last for so many claims, and so many seconds; it is filled up when half of it
is left, as each claim has its price."""


class _Waiting(NamedTuple):
    claim: Claim
    until: float


class Prefetch:
    """What is claimed and not started, the oldest first. now: seconds, as `time.monotonic`."""

    def __init__(self, slots: Capacity, now: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._now = now
        self._size = 0
        self._starting = False
        self._since, self._started, self._rate = now(), 0, 0.0
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, claims: Sequence[Claim], took: float) -> None:
        """Start `claims` as soon as there are slots for them. took: seconds, to claim them."""
        now = self._now()
        number = 0 if self._waiting else max(self._slots.free(), 0)
        self._begin(claims[:number])
        self._waiting.extend(_Waiting(claim, now + PATIENCE) for claim in claims[number:])
        self.start()  # some may have ended already
        self._watch()
        if now - self._since > _WINDOW:
            self._rate = self._started / (now - self._since)
            self._since, self._started = now, 0
        # What has to wait for half of the patience would soon go back.
        self._size = int(self._rate * min(max(_FLIGHTS * took, _SHORTEST), PATIENCE / 2))

    def lacks(self, coming: int) -> int:
        """How many more jobs should be claimed. coming: those that are being claimed."""
        missing = self._size - len(self._waiting) - coming
        return missing if 2 * missing >= self._size else 0

    def start(self) -> None:
        """Start what there are slots for."""
        if not self._waiting or self._starting:  # a job may end at once, in its start
            return
        self._starting = True
        while (number := min(self._slots.free(), len(self._waiting))) > 0:
            self._begin([self._waiting.popleft().claim for _ in range(number)])
        self._starting = False

    def _begin(self, claims: Sequence[Claim]) -> None:
        """What was claimed so long ago that its lease may have lapsed, as when this process was
        frozen, goes back; the oldest comes first."""
        oldest = self._now() - self._slots.lease / 2
        if claims and claims[0].claimed_at < oldest:
            self._slots.give_back([claim for claim in claims if claim.claimed_at < oldest])
            claims = [claim for claim in claims if claim.claimed_at >= oldest]
        self._started += len(claims)
        self._slots.start(claims)

    def close(self) -> None:
        """Give all of it back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._give_back(len(self._waiting))

    def _watch(self) -> None:
        if self._waiting and self._timer is None:
            seconds = self._waiting[0].until - self._now()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._now()
        self._give_back(sum(one.until <= now for one in self._waiting))
        self._watch()

    def _give_back(self, number: int) -> None:
        if number:
            self._slots.give_back([self._waiting.popleft().claim for _ in range(number)])
