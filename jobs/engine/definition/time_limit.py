"""Time limits: one event-loop timer for all limits of a loop."""

import asyncio
import math
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary, ref

from jobs.engine.definition.deadline_timer import DeadlineTimer


class TimeLimit:
    """Cancels the task in `with TimeLimit(seconds):` after its time, and raises TimeoutError.

    `asyncio.timeout` does the same, but sets and clears a timer each time. That costs about a third
    of the time that a no-op job takes.

    Attributes:
        seconds: The limit.
        deadline: The end, in the event loop's time.
        expired: The task was canceled.
    """

    __slots__ = ("_cancelling", "_limits", "deadline", "expired", "seconds", "task")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = math.inf
        self.expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self.task = task
        self._cancelling = task.cancelling()
        self._limits = _Limits.of(task.get_loop())
        self._limits.add(self, task.get_loop())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limits.running.discard(self)
        if not self.expired:
            return
        ours = self.task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError(f"exceeded {self.seconds:g} s") from error

    def end(self) -> None:
        """Cancel the task."""
        self.expired = True
        self.task.cancel()


class _Limits:
    """The running limits of one event loop, with the timer for the earliest of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.running: set[TimeLimit] = set()
        self._timer = DeadlineTimer(loop, self._expire)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "_Limits":
        known = _OF_LOOP.get(loop)
        limits = known() if known is not None else None
        if limits is None:
            limits = cls(loop)
            _OF_LOOP[loop] = ref(limits)
        return limits

    def add(self, limit: TimeLimit, loop: asyncio.AbstractEventLoop) -> None:
        limit.deadline = loop.time() + limit.seconds
        self.running.add(limit)
        if limit.deadline < self._timer.next:
            self._timer.watch(limit.deadline)

    def _expire(self, now: float) -> float:
        for limit in [limit for limit in self.running if limit.deadline <= now]:
            self.running.discard(limit)
            limit.end()
        return min((limit.deadline for limit in self.running), default=math.inf)


# Weak on both sides: a timer holds its loop, and a closed loop must be collected with its limits.
_OF_LOOP: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, ref[_Limits]]] = WeakKeyDictionary()
