"""TODO."""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

from jobs.engine.worker.execution import CancelReason, Execution

_TO_END: Final = 10.0
"""Seconds that one has to end which something else has just cancelled."""


class Deadlines:
    """Ends tries that run past their time: one timer for all of them, instead of one each.

    One that something else has just cancelled, such as its own time limit, has a while to end by
    that: where the loop was blocked, both find out at once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, running: Callable[[], Iterable[Execution]]
    ) -> None:
        self._loop = loop
        self._running = running
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf

    def watch(self, one: Execution, seconds: float) -> None:
        one.deadline = self._loop.time() + seconds
        if one.deadline < self._next:
            self._arm(one.deadline)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = None, math.inf

    def _arm(self, when: float) -> None:
        self.close()
        if when < math.inf:
            self._next = when
            self._timer = self._loop.call_at(when, self._check)

    def _check(self) -> None:
        now, following = self._loop.time(), math.inf
        for one in self._running():
            if one.deadline <= now:
                ends = not one.out_of_time and one.task is not None and one.task.cancelling() > 0
                one.out_of_time, one.deadline = True, now + _TO_END if ends else math.inf
                if not ends:
                    one.cancel(CancelReason.TIMEOUT)
            following = min(following, one.deadline)
        self._arm(following)
