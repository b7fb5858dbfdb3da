"""Per-function options: arq's own settings, with the worker's defaults filled in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arq.cron import CronJob
from arq.worker import Function


@dataclass(frozen=True, slots=True)
class FunctionDefaults:
    """The worker's options for functions that set none.

    Attributes:
        timeout: Seconds that one execution may take; None for no limit.
        keep_result: Seconds for which a result is kept.
        keep_result_forever: Keep results without expiry.
        max_tries: Executions of one job, the first included.
    """

    timeout: float | None
    keep_result: float
    keep_result_forever: bool
    max_tries: int

    def keep_ms(self, seconds: float | None = None, forever: bool | None = None) -> int | None:
        """Return for how long to keep a result.

        Args:
            seconds: The function's own setting; None for the default.
            forever: The function's own setting; None for the default.

        Returns:
            Milliseconds, 0 for "without expiry", None for "not at all".
        """
        if self.keep_result_forever if forever is None else forever:
            return 0
        seconds = self.keep_result if seconds is None else seconds
        return max(round(seconds * 1000), 0) or None


@dataclass(frozen=True, slots=True)
class FunctionOptions:
    """The options by which a worker executes the jobs of one function.

    Attributes:
        timeout: Seconds that one execution may take; None for no limit.
        keep_ms: Milliseconds for which a result is kept, 0 without expiry, None not at all.
        is_cron: The function belongs to a schedule.
        fires_once: The job ids name fire times of a schedule, each of which runs once.
    """

    name: str
    coroutine: Callable[..., Any]
    timeout: float | None
    keep_ms: int | None
    max_tries: int
    is_cron: bool
    fires_once: bool

    @classmethod
    def of(cls, function: Function | CronJob, defaults: FunctionDefaults) -> "FunctionOptions":
        """Return the options of `function`, completed by `defaults`."""
        timeout, max_tries = function.timeout_s, function.max_tries
        is_cron = isinstance(function, CronJob)
        return cls(
            name=function.name,
            coroutine=function.coroutine,
            timeout=defaults.timeout if timeout is None else timeout,
            keep_ms=defaults.keep_ms(function.keep_result_s, function.keep_result_forever),
            max_tries=defaults.max_tries if max_tries is None else max_tries,
            is_cron=is_cron,
            fires_once=isinstance(function, CronJob)
            and function.unique
            and function.job_id is None,
        )
