"""When a failed job is tried again: a pure function of the error and of the tries used."""

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

LONGEST_ASKED_WAIT: Final = timedelta(days=1)
"""An outside service that asks for a longer wait than this is tried after it all the same."""

_POLICY: Final = "__retry_policy__"
_TOO_GENERAL: Final = (BaseException, Exception, RinglineError, JobError)
"""Naming one of these in `on` does not make bad arguments worth a retry."""


def backoff(
    n: int, delay: float, cap: float, random: Callable[[], float] | None = None
) -> timedelta:
    """The wait before retry number `n`, counted from 0: min(cap, delay * 2**n).

    delay, cap: seconds. random: answers from 0 up to 1; when given, full jitter: a random part of
    the wait (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
    """
    seconds = backoff_delay(n, delay, cap)
    return timedelta(seconds=seconds * random() if random else seconds)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when; what is None is the setting's value at run time.

    max_retries: tries after the first (TASK_MAX_RETRIES). delay, max_delay: seconds
    (TASK_DEFAULT_RETRY_DELAY, TASK_MAX_RETRY_DELAY). on: another policy for some error classes;
    the nearest base class counts, and naming a class makes it worth a retry. causes: judge the
    causes of an error (`raise X from Y`) like the error itself, as where a library wraps errors.
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
        """How long to wait after try `try_number` (from 1) ended in `error`; None: no more tries.

        A wait that the error asks for (`retry_after`) is honoured when it is the longer one, up to
        a day.
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
        return max(wait, _asked_wait(error))

    def _policy_for(self, error: BaseException) -> "RetryPolicy | None":
        final = isinstance(error, UsageError) or (
            isinstance(error, JobError) and not error.retryable
        )
        # as_job_error keeps the library's own error as the cause.
        known_as = (error, error.__cause__) if isinstance(error, JobError) else (error,)
        for kind in (base for one in known_as for base in type(one).__mro__):
            if kind in self.on and not (final and kind in _TOO_GENERAL):
                return self.on[kind]
        return None if final else self


def _asked_wait(error: BaseException) -> timedelta:
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
    return timedelta(seconds=min(max(seconds, 0), LONGEST_ASKED_WAIT.total_seconds()))


def _seconds(asked: Any) -> float:
    if isinstance(asked, timedelta):
        return asked.total_seconds()
    if isinstance(asked, str) and not asked.strip().replace(".", "", 1).isdigit():
        return parsedate_to_datetime(asked).timestamp() - time()
    return float(asked or 0)


NO_RETRY: Final = RetryPolicy(max_retries=0)
"""For `on`: errors of this class are never tried again."""


def retry(
    *,
    max_retries: int | None = None,
    delay: float | None = None,
    max_delay: float | None = None,
    jitter: bool = False,
    on: Mapping[type[BaseException], RetryPolicy] | None = None,
    causes: bool = False,
) -> Callable[[F], F]:
    """Gives a job its retry policy; stands below `@job`. For the parameters see RetryPolicy.

    `@retry(max_retries=5, on={NotFoundError: RetryPolicy(delay=1), KeyError: NO_RETRY})`
    """
    policy = RetryPolicy(max_retries, delay, max_delay, jitter, dict(on or {}), causes)

    def mark(function: F) -> F:
        if hasattr(function, "__job__"):
            raise UsageError(f"{function.__qualname__}: put @job above @retry")
        setattr(function, _POLICY, policy)
        return function

    return mark


def policy_of(function: Callable[..., object]) -> RetryPolicy:
    """The policy that `@retry` gave, or the default one."""
    policy: RetryPolicy = getattr(function, _POLICY, None) or RetryPolicy()
    return policy
