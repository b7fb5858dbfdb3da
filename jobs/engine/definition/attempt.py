"""An execution of a `@job`: argument validation, time limit, retry decision."""

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
"""Repetitions within one execution that meets a stale version, before it counts as failed."""

FUNCTION_KEY: Final = "ringline:runs"
"""The key, in a job's context, of the function that our worker executes."""

_executing: ContextVar[bool] = ContextVar("executing_job", default=False)


def called_by_worker(job: JobDefinition, ctx: object) -> bool:
    """Return whether a worker makes this call, and not a test or another job.

    Our worker names the function that it executes. Under arq's worker, the first call counts.
    """
    if not isinstance(ctx, dict) or "score" not in ctx or _executing.get():
        return False
    runs = ctx.get(FUNCTION_KEY)
    while isinstance(runs, partial):
        runs = runs.func
    return runs is None or getattr(runs, "__job__", None) is job


async def run(
    job: JobDefinition, ctx: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Execute a job once.

    Our worker, which sets `ctx["engine"]`, reports the outcome. Under arq's worker the execution
    reports its own.

    Raises:
        Retry: The job is to run again; the cause is the failure.
        Exception: The job has failed for good, with the error as `as_job_error` maps it.
    """
    token = _executing.set(True)
    try:
        if "engine" in ctx:
            return await attempt(job, ctx, args, kwargs)
        return await under_arq.reported(job, ctx, (args, kwargs), attempt(job, ctx, args, kwargs))
    finally:
        _executing.reset(token)


async def attempt(
    job: JobDefinition, ctx: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Validate the arguments, run the coroutine within its time limit, and judge its failure."""
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
        raise ProcessTimeoutError(f"{job.name} exceeded its time limit of {seconds:g} s") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # A worker would take it for its own cancellation, and run the job again without end.
        raise JobError(f"{job.name} waited for a task that something else canceled") from error


def settings_of(ctx: Mapping[str, Any]) -> Settings:
    """Return the worker's settings if it has any, else the process's."""
    settings = ctx.get("settings")
    return settings if isinstance(settings, Settings) else get_settings()
