"""Requests: a job to enqueue, with its arguments and times."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Concatenate, Final, ParamSpec

from arq.typing import SecondsTimedelta

from jobs.clock import Clock
from jobs.engine.definition.job import definition_of
from jobs.engine.definition.round_trip import require_round_trip
from jobs.engine.queue.names import LOCAL
from jobs.errors import UsageError

P = ParamSpec("P")

MAX_YEARS: Final = 1000
MAX_SECONDS: Final = MAX_YEARS * 366 * 86_400
"""The longest delay, and the longest time until a job expires."""

JobFunction = Callable[Concatenate[Any, P], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to enqueue.

    Attributes:
        function: The job's name.
        args: Positional arguments after the context.
        kwargs: Keyword arguments.
        job_id: The job's id; None for a random one.
        queue: The queue; None for the queue of the name.
        defer_by: Seconds until the job is due.
        defer_until: The time at which the job is due.
        expires: Seconds after which the job is not started any more.
        job_try: arq's option: the number of the first execution.
    """

    function: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    job_id: str | None = None
    queue: str | None = None
    defer_by: SecondsTimedelta | None = None
    defer_until: datetime | None = None
    expires: SecondsTimedelta | None = None
    job_try: int | None = None


def times(
    defer_by: SecondsTimedelta | None,
    defer_until: datetime | None,
    expires: SecondsTimedelta | None,
    *,
    clock: Clock,
    kept_ms: int,
) -> tuple[int, int]:
    """Return the delay and the expiry of a job, in ms from now.

    The delay is negative for a job that was due earlier: the job goes before the others.

    Args:
        defer_by: Seconds until the job is due.
        defer_until: The time at which the job is due.
        expires: Seconds after which the job is not started any more.
        clock: Reads `defer_until`.
        kept_ms: Milliseconds for which a job without `expires` is kept after it is due.

    Raises:
        UsageError: The times contradict each other.
    """
    if defer_by is None and defer_until is None and expires is None:
        return 0, kept_ms
    if defer_until is not None:
        if defer_by:
            raise UsageError("pass either _defer_by or _defer_until, not both")
        delay = _milliseconds(_real_delay(_aware(defer_until), clock))
    else:
        delay = 0 if defer_by is None else _milliseconds(defer_by)
    if expires is None:
        return delay, max(delay, 0) + kept_ms
    expiry = _milliseconds(expires)
    if expiry <= 0:
        raise UsageError("a job cannot expire before it is enqueued: _expires must be positive")
    if expiry <= delay:
        raise UsageError(
            "the job would expire before it is due: _expires counts from now, so it must be "
            "longer than the delay"
        )
    return delay, expiry


def _milliseconds(seconds: SecondsTimedelta) -> int:
    """Return whole milliseconds. Raises UsageError for a time that no clock reaches."""
    number = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if not abs(number) <= MAX_SECONDS:  # NaN, too
        raise UsageError(f"{number:g} s is not a time within {MAX_YEARS} years")
    return round(number * 1000)


def request(function: JobFunction[P], /, *args: P.args, **kwargs: P.kwargs) -> JobRequest:
    """Return a job by its function, for `enqueue_many`; the type checker checks the arguments.

    Raises:
        ValidationError: The job would not receive an argument equal to what is sent.
    """
    name, queue = name_and_queue(function)
    require_arguments(function, args, kwargs)
    return JobRequest(name, args, kwargs, queue=queue)


def require_arguments(
    function: Callable[..., object], args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    """Check the arguments of a job that is enqueued by its function.

    Raises:
        ValidationError: The job would not receive an argument equal to what is sent.
    """
    definition = definition_of(function)
    if definition is not None:
        require_round_trip(definition, args, kwargs)


def name_and_queue(function: Callable[..., object]) -> tuple[str, str | None]:
    """Return the job name of a function, and its queue if `@job` names one."""
    definition = definition_of(function)
    if definition is None:
        return function.__qualname__, LOCAL.queue_of(function)
    return definition.name, definition.queue


def _real_delay(until: datetime, clock: Clock) -> timedelta:
    """Return the real time until a moment; for a past one, the negated time to its mirror image."""
    late = clock.now() - until
    return -clock.real_delay(until + 2 * late) if late > timedelta() else clock.real_delay(until)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.astimezone()  # local time, as in arq
