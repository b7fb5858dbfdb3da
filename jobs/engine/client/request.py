"""A job to be enqueued: its function, its arguments, and when."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec

from arq.typing import SecondsTimedelta
from arq.utils import to_ms

from jobs.clock import Clock
from jobs.engine.definition.job import definition_of
from jobs.engine.definition.round_trip import require_round_trip
from jobs.engine.queue.names import LOCAL
from jobs.errors import UsageError

P = ParamSpec("P")

JobFunction = Callable[Concatenate[Any, P], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to be enqueued. The options are those of `Pool.enqueue_job`."""

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
    """The delay and the expiry of a job, in ms from now. The delay is negative for a job that was
    due before: it goes before the others. kept_ms: how long it is kept after it is due, and after
    now. Raises UsageError for times that contradict each other."""
    if defer_by is None and defer_until is None and expires is None:
        return 0, kept_ms
    if defer_until is not None:
        if defer_by:
            raise UsageError("a job is deferred either by a time or until a moment, not both")
        delay = to_ms(_real_delay(_aware(defer_until), clock))
    else:
        delay = to_ms(defer_by) or 0
    expiry = to_ms(expires) or max(delay, 0) + kept_ms
    if expiry < 0:
        raise UsageError("a job cannot expire before it is enqueued")
    return delay, expiry


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
    """What a function is called as a job, and its queue, if it says one."""
    definition = definition_of(function)
    if definition is None:
        return function.__qualname__, LOCAL.queue_of(function)
    return definition.name, definition.queue


def _real_delay(until: datetime, clock: Clock) -> timedelta:
    """Negative for a moment that is past: as long ago as its mirror image is ahead."""
    late = clock.now() - until
    return -clock.real_delay(until + 2 * late) if late > timedelta() else clock.real_delay(until)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.astimezone()  # local time, as arq reads it
