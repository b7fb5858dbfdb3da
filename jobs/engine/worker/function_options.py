"""TODO."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from arq.cron import CronJob
from arq.worker import Function


class Defaults(Protocol):
    """The worker's settings, for functions that have none of their own."""

    job_timeout_s: float
    keep_result_s: float
    keep_result_forever: bool
    max_tries: int


@dataclass(frozen=True, slots=True)
class FunctionOptions:
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
    def of(cls, function: Function | CronJob, worker: Defaults) -> "FunctionOptions":
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
