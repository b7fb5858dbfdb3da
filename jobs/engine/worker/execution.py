"""One try of a job while it runs, and what its function's settings come down to."""

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Protocol

from arq.cron import CronJob
from arq.worker import Function

from jobs.engine.queue.claim import Claim

_TO_END: Final = 10.0
"""Seconds that one has to end which something else has just cancelled."""
UNKNOWN: Final = "<unknown>"
"""The function of a job whose payload cannot be read."""


class Stop(Enum):
    """Why the worker cancelled a try."""

    TIMEOUT = auto()
    ABORT = auto()
    SHUTDOWN = auto()
    LOST = auto()
    """Its lease is someone else's: the job runs, or ran, elsewhere."""


class Defaults(Protocol):
    """The worker's settings, for functions that have none of their own."""

    job_timeout_s: float
    keep_result_s: float
    keep_result_forever: bool
    max_tries: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How the jobs of one function are run.

    timeout: seconds, or None. keep_ms: how long a result is kept, 0 for ever, None not at all.
    fires_slots: its job ids name the slot of a schedule, each of which is to run once.
    """

    name: str
    coroutine: Callable[..., Any]
    timeout: float | None
    keep_ms: int | None
    max_tries: int
    is_cron: bool
    fires_slots: bool

    @classmethod
    def of(cls, function: Function | CronJob, worker: Defaults) -> "Plan":
        timeout, tries = function.timeout_s, function.max_tries
        return cls(
            name=function.name,
            coroutine=function.coroutine,
            timeout=worker.job_timeout_s if timeout is None else timeout,
            keep_ms=keep_ms(function.keep_result_s, function.keep_result_forever, worker),
            max_tries=worker.max_tries if tries is None else tries,
            is_cron=isinstance(function, CronJob),
            fires_slots=(
                isinstance(function, CronJob) and function.unique and function.job_id is None
            ),
        )


def keep_ms(seconds: float | None, forever: bool | None, worker: Defaults) -> int | None:
    """How long a result is kept in ms, 0 for ever, None not at all; None: the worker's own."""
    if worker.keep_result_forever if forever is None else forever:
        return 0
    seconds = worker.keep_result_s if seconds is None else seconds
    return max(round(seconds * 1000), 0) or None


class Try:
    """One try: the `number`-th of its job, from 1.

    enqueued_ms, started: POSIX milliseconds and seconds. deadline: the event loop's time.
    """

    name: str = UNKNOWN
    args: tuple[Any, ...] = ()
    plan: Plan | None = None
    enqueued_ms: int = 0
    task: asyncio.Task[None] | None = None
    deadline: float = math.inf
    stop: Stop | None = None
    out_of_time: bool = False
    """Its time is over."""
    over: bool = False
    """Its coroutine has ended."""
    forgotten: bool = False
    """Its task has nothing left to do."""

    def __init__(self, claim: Claim, started: float) -> None:
        self.claim = claim
        self.started = started
        self.number = claim.past.tries + 1
        self.kwargs: dict[str, Any] = {}

    @property
    def ref(self) -> str:
        """How log lines call it."""
        if self.plan is not None and self.plan.is_cron:
            return self.name
        return f"{self.claim.job_id}:{self.name}"

    def cancel(self, why: Stop) -> None:
        """Cancel the job, unless its coroutine has ended, or is being cancelled already."""
        if self.task is not None and not self.over and self.stop is None:
            self.stop = why
            self.task.cancel()


class Deadlines:
    """Ends tries that run past their time: one timer for all of them, instead of one each.

    One that something else has just cancelled, such as its own time limit, has a while to end by
    that: where the loop was blocked, both find out at once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, running: Callable[[], Iterable[Try]]
    ) -> None:
        self._loop = loop
        self._running = running
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf

    def watch(self, one: Try, seconds: float) -> None:
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
                    one.cancel(Stop.TIMEOUT)
            following = min(following, one.deadline)
        self._arm(following)
