"""One execution of a job, as in a worker."""

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
    """Run one execution of a job, without retries.

    The arguments pass through the serializer and are validated against the job's annotations, as
    in a worker.

    Args:
        job: A function with the `@job` decorator.
        ctx: Context of the job.
        args: Positional arguments of the job.
        kwargs: Keyword arguments of the job.

    Returns:
        The result of the job.

    Raises:
        ValidationError: A worker would reject the arguments.
        UsageError: The function has no `@job` decorator.
        Exception: Any error that the job raises.
    """
    definition = definition_of(job)
    if definition is None:
        raise UsageError(f"{job.__qualname__} is not a job: decorate it with @job")
    sent_args, sent_kwargs = deserialize(serialize((args, kwargs)))
    checked_args, checked_kwargs = definition.check(sent_args, sent_kwargs)
    result: R = await definition.body(ctx, *checked_args, **checked_kwargs)
    return result
