"""Running a job as a worker does."""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from jobs.context import JobContext
from jobs.engine import deserialize, serialize
from jobs.engine.definition.job import definition_of
from jobs.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


async def run_job(
    job: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]],
    ctx: JobContext,
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """One try of a job: its arguments go through JSON and are checked by their annotations.

    Raises what the job raises, and ValidationError for arguments that a worker would refuse.
    """
    definition = definition_of(job)
    if definition is None:
        raise UsageError(f"{job.__qualname__} is not a job: put @job above it")
    sent_args, sent_kwargs = deserialize(serialize((args, kwargs)))
    checked_args, checked_kwargs = definition.check(sent_args, sent_kwargs)
    result: R = await definition.body(ctx, *checked_args, **checked_kwargs)
    return result
