"""Frozen options that a worker hands to its executor, and counts of ended executions."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from arq.cron import CronJob
from arq.jobs import Deserializer
from arq.worker import Function

from jobs.engine.queue.outcome import Outcome
from jobs.engine.worker.function_options import FunctionDefaults, FunctionOptions

Observer = Callable[[Outcome], None]
"""A function that receives the outcome of each execution."""
Hook = Callable[[dict[Any, Any]], Awaitable[Any]]
"""A coroutine function that receives the context of a worker or of a job."""


@dataclass(slots=True)
class JobCounts:
    """Executions that have ended since the worker was made, as arq counts them."""

    complete: int = 0
    failed: int = 0
    retried: int = 0


class CountAttributes:
    """arq's attributes for the counts of a worker, backed by a record that the executor updates."""

    _counts: JobCounts

    @property
    def jobs_complete(self) -> int:
        """Executions that returned."""
        return self._counts.complete

    @jobs_complete.setter
    def jobs_complete(self, count: int) -> None:
        self._counts.complete = count

    @property
    def jobs_failed(self) -> int:
        """Executions that failed for good or were aborted."""
        return self._counts.failed

    @jobs_failed.setter
    def jobs_failed(self, count: int) -> None:
        self._counts.failed = count

    @property
    def jobs_retried(self) -> int:
        """Executions that ended with a retry or a release."""
        return self._counts.retried

    @jobs_retried.setter
    def jobs_retried(self, count: int) -> None:
        self._counts.retried = count


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """The part of a worker's configuration that concerns executions.

    Attributes:
        functions: Functions and schedules by job name.
        defaults: Options for functions that set none.
        ctx: The worker's context; each job receives a copy.
        deserializer: Reads payloads; None for pickle.
        requeue_unknown: Requeue jobs whose function this worker does not know.
        retry_jobs: Execute a job again on arq's `Retry` and on cancellation.
        on_job_start: Hook before an execution.
        on_job_end: Hook after an execution, before its completion is sent.
        after_job_end: Hook after the completion is stored in Redis.
    """

    functions: Mapping[str, Function | CronJob]
    defaults: FunctionDefaults
    ctx: dict[Any, Any]
    deserializer: Deserializer | None
    requeue_unknown: bool
    retry_jobs: bool
    on_job_start: Hook | None
    on_job_end: Hook | None
    after_job_end: Hook | None
    _by_name: dict[str, FunctionOptions] = field(default_factory=dict, repr=False, compare=False)

    def function(self, name: str) -> FunctionOptions | None:
        """Return the options of the function `name`; None if the worker does not know it."""
        options = self._by_name.get(name)
        if options is None and name in self.functions:
            options = FunctionOptions.of(self.functions[name], self.defaults)
            self._by_name[name] = options
        return options
