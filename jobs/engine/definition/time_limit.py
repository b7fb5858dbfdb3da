"""A time limit that costs a dictionary entry: one timer for all that runs in an event loop."""

import asyncio
import math
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary, ref


class TimeLimit:
    """`with TimeLimit(seconds):` cancels the task past its time and raises TimeoutError then.

    As asyncio.timeout, which sets and clears a timer of its own each time: about a third of what
    it costs to run a job that does nothing.
    """

    __slots__ = ("_cancelling", "_timers", "deadline", "expired", "seconds", "task")

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
        self._timers = _Timers.of(task.get_loop())
        self._timers.add(self, task.get_loop())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timers.running.discard(self)
        if not self.expired:
            return
        ours = self.task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError(f"ran past {self.seconds:g} s") from error

    def end(self) -> None:
        self.expired = True
        self.task.cancel()


class _Timers:
    """The limits of one event loop, and the timer for the earliest of them."""

    def __init__(self) -> None:
        self.running: set[TimeLimit] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "_Timers":
        known = _OF_LOOP.get(loop)
        timers = known() if known is not None else None
        if timers is None:
            timers = cls()
            _OF_LOOP[loop] = ref(timers)
        return timers

    def add(self, limit: TimeLimit, loop: asyncio.AbstractEventLoop) -> None:
        limit.deadline = loop.time() + limit.seconds
        self.running.add(limit)
        if limit.deadline < self._next:
            self._arm(limit.deadline, loop)

    def _arm(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = loop.call_at(when, self._check) if when < math.inf else None

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for limit in [limit for limit in self.running if limit.deadline <= now]:
            self.running.discard(limit)
            limit.end()
        self._arm(min((limit.deadline for limit in self.running), default=math.inf), loop)


# Weak on both sides, since a timer holds its loop: a closed loop goes, and what belongs to it.
_OF_LOOP: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, ref[_Timers]]] = WeakKeyDictionary()
