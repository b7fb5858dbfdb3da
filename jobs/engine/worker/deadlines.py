"""Timeouts of executions: one event-loop timer for all of them."""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Final

from jobs.engine.definition.deadline_timer import DeadlineTimer
from jobs.engine.worker.execution import CancelReason, Execution

_TIME_TO_END: Final = 10.0
"""Seconds in which an execution that was just canceled by something else may end by itself."""


class Deadlines:
    """Cancels executions that exceed their timeout.

    An execution that something else has just canceled, such as the time limit of `@job`, gets time
    to end by that: after the loop was blocked, both notice the deadline at once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, running: Callable[[], Iterable[Execution]]
    ) -> None:
        self._loop = loop
        self._running = running
        self._timer = DeadlineTimer(loop, self._expire)

    def watch(self, execution: Execution, seconds: float) -> None:
        """Cancel `execution` in `seconds`."""
        deadline = execution.deadline = self._loop.time() + seconds
        if deadline < self._timer.next:
            self._timer.watch(deadline)

    def close(self) -> None:
        """Stop the timer."""
        self._timer.close()

    def _expire(self, now: float) -> float:
        following = math.inf
        for execution in self._running():
            if execution.deadline <= now:
                task = execution.task
                ending = not execution.timed_out and task is not None and task.cancelling() > 0
                execution.timed_out = True
                execution.deadline = now + _TIME_TO_END if ending else math.inf
                if not ending:
                    execution.cancel(CancelReason.TIMEOUT)
            following = min(following, execution.deadline)
        return following
