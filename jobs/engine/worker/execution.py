"""One execution of a job, from its claim to its end."""

import asyncio
import math
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Final

from jobs.engine.definition.job import JobDefinition, definition_of
from jobs.engine.queue.claim import Claim
from jobs.engine.worker.function_options import FunctionOptions
from jobs.privacy.fields import NamedValues, named_arguments

UNKNOWN: Final = "<unknown>"
"""The function name of a job whose payload cannot be read."""


class CancelReason(Enum):
    """The reason for which the worker canceled an execution."""

    TIMEOUT = auto()
    ABORT = auto()
    SHUTDOWN = auto()
    LEASE_LOST = auto()
    """Another worker holds the lease: the job runs, or ran, there."""


class Execution:
    """An execution of a claimed job.

    Attributes:
        number: 1 for the first execution of the job (`job_try`).
        enqueued_ms: Enqueue time in POSIX milliseconds.
        started: Start time in POSIX seconds.
        deadline: End of the function's timeout, in the event loop's time.
        timed_out: The timeout has passed.
        ended: The coroutine has ended.
        forgotten: The task has nothing left to do.
    """

    name: str = UNKNOWN
    args: tuple[Any, ...] = ()
    options: FunctionOptions | None = None
    enqueued_ms: int = 0
    task: asyncio.Task[None] | None = None
    deadline: float = math.inf
    cancel_reason: CancelReason | None = None
    timed_out: bool = False
    ended: bool = False
    forgotten: bool = False

    def __init__(self, claim: Claim, started: float) -> None:
        self.claim = claim
        self.started = started
        self.number = claim.history.tries + 1
        self.kwargs: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """The name of the execution in log lines: `job_id:function`, or the schedule's name."""
        if self.options is not None and self.options.is_cron:
            return self.name
        return f"{self.claim.job_id}:{self.name}"

    @property
    def definition(self) -> JobDefinition | None:
        """The definition by `@job`; None for a plain function."""
        return None if self.options is None else definition_of(self.options.coroutine)

    @property
    def parameters(self) -> Sequence[str]:
        """The names of the job's parameters, as far as `@job` knows them."""
        definition = self.definition
        return () if definition is None else definition.parameters

    @property
    def named_arguments(self) -> NamedValues:
        """The arguments under the names of their parameters, for masking."""
        return named_arguments(self.args, self.kwargs, self.parameters)

    @property
    def fires_schedule(self) -> bool:
        """True if the job id of a cron names a fire time; it may also be enqueued by hand."""
        return self.claim.job_id.removeprefix(f"{self.name}:").isdecimal()

    def cancel(self, reason: CancelReason) -> None:
        """Cancel the coroutine, unless it has ended or is already being canceled."""
        if self.task is not None and not self.ended and self.cancel_reason is None:
            self.cancel_reason = reason
            self.task.cancel()
