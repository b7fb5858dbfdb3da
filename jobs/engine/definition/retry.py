"""Retry policies: pure functions of an error and of the tries used."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final, TypeVar

from jobs.engine.connection.backoff import backoff_delay
from jobs.errors import JobError, RinglineError, UsageError
from jobs.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

MAX_REQUESTED_WAIT: Final = timedelta(days=1)
"""The longest wait that a service can request."""

_POLICY: Final = "__retry_policy__"
_TOO_GENERAL: Final = (BaseException, Exception, RinglineError, JobError)
"""Classes in `on` that do not cover final errors, such as bad arguments."""


def backoff(
    n: int, delay: float, cap: float, random: Callable[[], float] | None = None
) -> timedelta:
    """Return the wait before retry number `n`: min(cap, delay * 2**n).

    Args:
        n: The number of the retry, from 0.
        delay: The first wait in seconds.
        cap: The longest wait in seconds.
        random: Returns a number from 0 up to 1; adds full jitter, a random part of the wait (AWS
            Architecture Blog, "Exponential Backoff And Jitter", 2015).
    """
    seconds = backoff_delay(n, delay, cap)
    return timedelta(seconds=seconds * random() if random else seconds)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number and the times of retries. A value of None is the setting at run time.

    Attributes:
        max_retries: Executions after the first (TASK_MAX_RETRIES).
        delay: Seconds before the first retry (TASK_DEFAULT_RETRY_DELAY).
        max_delay: The longest wait in seconds (TASK_MAX_RETRY_DELAY).
        jitter: Wait a random part of the delay.
        on: Policies for some error classes. The nearest base class counts, and a class that is
            named is retried.
        causes: Judge the causes of an error (`raise X from Y`) like the error itself: for
            libraries that wrap errors.
    """

    max_retries: int | None = None
    delay: float | None = None
    max_delay: float | None = None
    jitter: bool = False
    on: Mapping[type[BaseException], "RetryPolicy"] = field(default_factory=dict)
    causes: bool = False

    def next_wait(
        self,
        error: BaseException,
        try_number: int,
        settings: Settings,
        random: Callable[[], float],
    ) -> timedelta | None:
        """Return the wait before the next execution.

        A wait that the error requests (`retry_after`) counts if it is longer, up to a day.

        Args:
            error: The failure of the last execution.
            try_number: The number of that execution, from 1.
            settings: The values of what is None here.
            random: Returns a number from 0 up to 1, for jitter.

        Returns:
            The wait; None if the job has failed for good.
        """
        policy = self._policy_for(error)
        if policy is None:
            return None
        limit = settings.task_max_retries if policy.max_retries is None else policy.max_retries
        if try_number > limit:
            return None
        wait = backoff(
            try_number - 1,
            settings.task_default_retry_delay if policy.delay is None else policy.delay,
            settings.task_max_retry_delay if policy.max_delay is None else policy.max_delay,
            random if policy.jitter else None,
        )
        return max(wait, _requested_wait(error))

    def _policy_for(self, error: BaseException) -> "RetryPolicy | None":
        final = isinstance(error, UsageError) or (
            isinstance(error, JobError) and not error.retryable
        )
        # as_job_error keeps the library's own error as the cause.
        errors = (error, error.__cause__) if isinstance(error, JobError) else (error,)
        for kind in (base for candidate in errors for base in type(candidate).__mro__):
            if kind in self.on and not (final and kind in _TOO_GENERAL):
                return self.on[kind]
        return None if final else self


def _requested_wait(error: BaseException) -> timedelta:
    """Return the wait that an error requests; zero if it requests none that can be read.

    Libraries have `retry_after` as seconds, as a timedelta, or as the text of the HTTP header
    `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
    """
    try:
        seconds = _seconds(getattr(error, "retry_after", None))
    except Exception:  # noqa: BLE001 - a library may have anything under that name
        return timedelta()
    if not math.isfinite(seconds):
        return timedelta()
    return timedelta(seconds=min(max(seconds, 0), MAX_REQUESTED_WAIT.total_seconds()))


def _seconds(retry_after: Any) -> float:
    if isinstance(retry_after, timedelta):
        return retry_after.total_seconds()
    if isinstance(retry_after, str) and not retry_after.strip().replace(".", "", 1).isdigit():
        return parsedate_to_datetime(retry_after).timestamp() - time()
    return float(retry_after or 0)


NO_RETRY: Final = RetryPolicy(max_retries=0)
"""For `on`: errors of the class are never retried."""


def retry(
    *,
    max_retries: int | None = None,
    delay: float | None = None,
    max_delay: float | None = None,
    jitter: bool = False,
    on: Mapping[type[BaseException], RetryPolicy] | None = None,
    causes: bool = False,
) -> Callable[[F], F]:
    """Give a job its retry policy. The decorator stands below `@job`.

    `@retry(max_retries=5, on={NotFoundError: RetryPolicy(delay=1), KeyError: NO_RETRY})`

    Args:
        max_retries: Executions after the first.
        delay: Seconds before the first retry; each further wait doubles.
        max_delay: The longest wait in seconds.
        jitter: Wait a random part of the delay.
        on: Policies for some error classes.
        causes: Judge the causes of an error, too.

    Raises:
        UsageError: The decorator stands above `@job`.
    """
    policy = RetryPolicy(max_retries, delay, max_delay, jitter, dict(on or {}), causes)

    def mark(function: F) -> F:
        if hasattr(function, "__job__"):
            raise UsageError(f"{function.__qualname__}: put @job above @retry")
        setattr(function, _POLICY, policy)
        return function

    return mark


def policy_of(function: Callable[..., object]) -> RetryPolicy:
    """Return the policy of a function, or the default policy."""
    policy: RetryPolicy = getattr(function, _POLICY, None) or RetryPolicy()
    return policy
