"""`ringline enqueue`: enqueue one job."""

import asyncio
import json
import math
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import click
from arq.jobs import Job, ResultNotFound

from jobs.cli import interruptible
from jobs.cli.params import DURATION
from jobs.cli.resources import known_jobs, open_pool
from jobs.engine import find_job, serialize
from jobs.engine.monitoring.outcome_log import masked_error
from jobs.errors import UsageError, ValidationError
from jobs.privacy.fields import mask_value, named_arguments


@click.command()
@click.argument("name")
@click.argument("args", nargs=-1)
@click.option(
    "--kw", "kwargs", multiple=True, metavar="KEY=VALUE", help="Keyword argument. Repeatable."
)
@click.option("--defer-by", type=DURATION, help="Delay before the job runs, such as 90s or 5m.")
@click.option("--id", "job_id", help="Job id. It must not be in use.")
@click.option("--queue", help="Queue.  [default: implied by the job's name]")
@click.option("--wait", is_flag=True, help="Wait for the result and print it, masked.")
def enqueue(
    name: str,
    args: tuple[str, ...],
    kwargs: tuple[str, ...],
    defer_by: timedelta | None,
    job_id: str | None,
    queue: str | None,
    wait: bool,
) -> None:
    """Enqueue the job NAME with ARGS and print its id.

    Each argument is parsed as JSON, such as 5, true or [1,2]; if it is not valid JSON, it is
    text. NaN and Infinity are not JSON: they are sent as text, which parameters of type float
    accept.
    """
    check_name(name)
    values, keywords = tuple(map(value, args)), dict(map(keyword, kwargs))
    check_arguments(name, values, keywords)
    interruptible.run(_enqueue(name, values, keywords, defer_by, job_id, queue, wait))


def value(text: str) -> Any:
    """Parse an argument as JSON, else take it as text.

    NaN and infinities stay text. JSON has no such numbers and a payload would carry them as
    null, whereas a float parameter converts the text.

    Args:
        text: Argument from the command line.

    Returns:
        The parsed value, or the text itself.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def keyword(text: str) -> tuple[str, Any]:
    """Parse a keyword argument.

    Args:
        text: `KEY=VALUE` from the command line.

    Returns:
        The key and the parsed value.

    Raises:
        UsageError: The text has no `=`, or the key is not an identifier.
    """
    name, equals, argument = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--kw {text!r} is not KEY=VALUE")
    return name, value(argument)


def check_name(name: str) -> None:
    """Check that a job of the built-in domains or of TASK_WORKERS has this name.

    Args:
        name: Name or alias of a job.

    Raises:
        UsageError: No job has this name. The message suggests similar names.
    """
    known = known_jobs()
    if name in known or find_job(name) is not None:  # any job that this process has imported
        return
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known jobs: {', '.join(sorted(known))}"
    own = "for a job of your own, set TASK_WORKERS to its settings class"
    raise UsageError(f"unknown job {name!r}: {hint}; {own}")


def check_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Check that arguments can be serialized and that the job accepts them.

    Args:
        name: Name of the job.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Raises:
        UsageError: An argument cannot be serialized, or does not fit the job's signature.
    """
    for place, argument in [*enumerate(args, 1), *kwargs.items()]:
        try:
            serialize(argument)
        except TypeError as error:
            hint = "text must be UTF-8; quote an integer of more than 64 bits to send it as text"
            raise UsageError(
                f"{name}: argument {place} cannot be serialized: {error} ({hint})"
            ) from None
    definition = find_job(name)
    if definition is not None:
        try:
            definition.check(args, kwargs)
        except ValidationError as error:
            raise UsageError(f"{name}: {error}") from None


async def _enqueue(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    defer_by: timedelta | None,
    job_id: str | None,
    queue: str | None,
    wait: bool,
) -> None:
    async with open_pool() as pool:
        job = await pool.enqueue_job(
            name,
            *args,
            _job_id=job_id,
            _queue_name=queue,
            _defer_by=defer_by,
            **kwargs,
        )
        if job is None:
            raise UsageError(
                f"job id {job_id} is in use by a queued or running job, or its result is still kept"
            )
        click.echo(job.job_id)
        if wait:
            click.echo(json.dumps(mask_value(await result_of(job, name, args, kwargs))))


async def result_of(job: Job, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wait for a job's result.

    Args:
        job: The enqueued job.
        name: Name of the job.
        args: Positional arguments of the job, masked in an error message.
        kwargs: Keyword arguments of the job, masked in an error message.

    Returns:
        The job's return value.

    Raises:
        click.ClickException: The job failed, was aborted, or left no result.
    """
    try:
        return await job.result()
    except (Exception, asyncio.CancelledError) as error:
        info = await job.result_info()
        if info is None and isinstance(error, ResultNotFound):
            raise click.ClickException(
                "the job has ended and left no result, so its outcome is unknown; if it failed for "
                f"good, see `ringline failed show {job.job_id}`"
            ) from None
        if info is None or info.success:
            raise
        if isinstance(info.result, asyncio.CancelledError):
            raise click.ClickException("the job was aborted") from None
        definition = find_job(name)
        parameters = () if definition is None else definition.parameters
        arguments = named_arguments(args, kwargs, parameters)
        raise click.ClickException(f"the job failed: {masked_error(error, arguments)}") from error
