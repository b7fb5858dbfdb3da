"""One try of a job: the time limit, the classified ending, and what the worker is told."""

import asyncio
import random
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from arq.worker import JobExecutionFailed, Retry

from jobs.engine.definition import under_arq
from jobs.engine.definition.failure import as_failure, ends_the_process, next_wait
from jobs.engine.definition.job import JobDefinition
from jobs.engine.definition.time_limit import TimeLimit
from jobs.errors import JobError, ProcessTimeoutError, StaleVersionError
from jobs.settings import Settings, get_settings

STALE_READS: Final = 3
"""How often a try that met a stale version is run again at once, before it counts as failed."""

FUNCTION_KEY: Final = "ringline:runs"
"""In a job's context: the function that our worker runs."""

_in_a_try: ContextVar[bool] = ContextVar("in_a_try", default=False)


def called_by_worker(job: JobDefinition, ctx: object) -> bool:
    """Whether this call is a try of this job that a worker makes, and not a call from a test or
    another job. Our own worker says what it runs; under arq's, the first call is taken for it."""
    if not isinstance(ctx, dict) or "score" not in ctx or _in_a_try.get():
        return False
    runs = ctx.get(FUNCTION_KEY)
    while isinstance(runs, partial):
        runs = runs.func
    return runs is None or getattr(runs, "__job__", None) is job


async def run(
    job: JobDefinition, ctx: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Runs one try. Returns the result; raises arq's `Retry` when the job is to run again, and the
    error itself, mapped by `as_job_error`, when this was the last try.

    Our own worker, which sets `ctx["engine"]`, makes the outcome of that; under arq's the try
    reports its own.
    """
    token = _in_a_try.set(True)
    try:
        if "engine" in ctx:
            return await attempt(job, ctx, args, kwargs)
        return await under_arq.reported(job, ctx, (args, kwargs), attempt(job, ctx, args, kwargs))
    finally:
        _in_a_try.reset(token)


async def attempt(
    job: JobDefinition, ctx: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    settings = settings_of(ctx)
    try:
        checked, named = job.check(args, kwargs)
        return await _limited(job, job.time_limit(settings), ctx, checked, named)
    except BaseException as error:
        if ends_the_process(error):
            raise
        if _is_canceled():
            # Whatever a job raises after its cancellation is that cancellation.
            raise asyncio.CancelledError from error
        failed = failure(job, error, ctx["job_try"], settings)
        try:
            if failed is error:
                raise
            raise failed from failed.__cause__
        finally:
            # The traceback of the error holds this frame: no local variable may hold the error.
            del failed


def failure(
    job: JobDefinition, error: BaseException, try_number: int, settings: Settings
) -> BaseException:
    """Return what a failed execution raises to its worker.

    Returns:
        arq's `Retry`, with the failure as its cause, if the job is to run again; else the failure.
    """
    wait = next_wait(job.policy, error, try_number, settings, random.random)
    if isinstance(error, Retry):
        if wait is None:
            exhausted = JobExecutionFailed(f"{job.name} asked for a retry after its last try")
            exhausted.__cause__ = error.__cause__
            return exhausted
        retry, cause = Retry(defer=wait), error.__cause__
    else:
        cause = as_failure(error)
        if cause is not error and cause.__cause__ is None:
            cause.__cause__ = error
        if wait is None:
            return cause
        retry = Retry(defer=wait)
    retry.__cause__ = cause
    return retry


def _is_canceled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _limited(
    job: JobDefinition,
    seconds: float,
    ctx: Mapping[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    limit = TimeLimit(seconds)
    try:
        with limit:
            for _ in range(STALE_READS):
                try:
                    return await job.body(ctx, *args, **kwargs)
                except StaleVersionError:
                    continue
            return await job.body(ctx, *args, **kwargs)
    except TimeoutError as error:
        if not limit.expired:
            raise
        raise ProcessTimeoutError(f"{job.name} ran past its {seconds:g} s") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # A worker takes it for its own cancellation, and would run the job again, time and again.
        raise JobError(f"{job.name} waited for what somebody else cancelled") from error


def settings_of(ctx: Mapping[str, Any]) -> Settings:
    """The worker's settings, where it opened any; else the process's."""
    settings = ctx.get("settings")
    return settings if isinstance(settings, Settings) else get_settings()
