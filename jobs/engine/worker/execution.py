"""One try of a job while it runs, and what its function's settings come down to."""

import asyncio
import math
from enum import Enum, auto
from typing import Any, Final

from jobs.engine.queue.claim import Claim
from jobs.engine.worker.function_options import FunctionOptions

UNKNOWN: Final = "<unknown>"
"""The function of a job whose payload cannot be read."""


class CancelReason(Enum):
    """Why the worker cancelled a try."""

    TIMEOUT = auto()
    ABORT = auto()
    SHUTDOWN = auto()
    LOST = auto()
    """Its lease is someone else's: the job runs, or ran, elsewhere."""


class Execution:
    """One try: the `number`-th of its job, from 1.

    enqueued_ms, started: POSIX milliseconds and seconds. deadline: the event loop's time.
    """

    name: str = UNKNOWN
    args: tuple[Any, ...] = ()
    plan: FunctionOptions | None = None
    enqueued_ms: int = 0
    task: asyncio.Task[None] | None = None
    deadline: float = math.inf
    stop: CancelReason | None = None
    out_of_time: bool = False
    """Its time is over."""
    over: bool = False
    """Its coroutine has ended."""
    forgotten: bool = False
    """Its task has nothing left to do."""

    def __init__(self, claim: Claim, started: float) -> None:
        self.claim = claim
        self.started = started
        self.number = claim.history.tries + 1
        self.kwargs: dict[str, Any] = {}

    @property
    def ref(self) -> str:
        """How log lines call it."""
        if self.plan is not None and self.plan.is_cron:
            return self.name
        return f"{self.claim.job_id}:{self.name}"

    def cancel(self, why: CancelReason) -> None:
        """Cancel the job, unless its coroutine has ended, or is being cancelled already."""
        if self.task is not None and not self.over and self.stop is None:
            self.stop = why
            self.task.cancel()
