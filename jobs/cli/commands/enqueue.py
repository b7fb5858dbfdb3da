"""`ringline enqueue`: one job, from the command line."""

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
from jobs.cli.resources import job_names, opened_pool
from jobs.engine import find_job, serialize
from jobs.engine.monitoring.outcome_log import masked_error
from jobs.errors import UsageError, ValidationError
from jobs.privacy.fields import mask_value, named_arguments


@click.command()
@click.argument("name")
@click.argument("args", nargs=-1)
@click.option("--kw", "kwargs", multiple=True, metavar="KEY=VALUE", help="A keyword argument.")
@click.option("--defer-by", type=DURATION, help="Run it this long from now, as 90s or 5m.")
@click.option("--id", "job_id", help="Its id; a job of that id must not be there yet.")
@click.option("--queue", help="Another queue than the one that the name says.")
@click.option("--wait", is_flag=True, help="Wait for its result and print it, masked.")
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

    An argument is read as JSON where it is JSON, and else as text: 5, true, [1,2], hello. NaN and
    Infinity, which JSON has not, are text that a parameter of type float takes.
    """
    check_name(name)
    values, keywords = tuple(map(value, args)), dict(map(keyword, kwargs))
    check_arguments(name, values, keywords)
    interruptible.run(_enqueue(name, values, keywords, defer_by, job_id, queue, wait))


def value(text: str) -> Any:
    """What an argument means: JSON, or plain text.

    JSON has no NaN and no infinities, and a payload would carry them as null. As text they arrive,
    since a parameter that is a float makes one of it.
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
    """One `key=value`. Raises UsageError."""
    name, equals, argument = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--kw {text!r} is not KEY=VALUE")
    return name, value(argument)


def check_name(name: str) -> None:
    """Raises UsageError with the most similar names where there is no such job."""
    known = job_names()
    if name in known:
        return
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"
    raise UsageError(f"no job is called {name!r}: {hint}")


def check_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raises UsageError where they cannot be sent, or the job would refuse them."""
    for place, argument in [*enumerate(args, 1), *kwargs.items()]:
        try:
            serialize(argument)
        except TypeError as error:
            forms = "text is UTF-8; an integer of more than 64 bits goes in quotes, as text"
            raise UsageError(
                f"{name}: argument {place} cannot be sent: {error} ({forms})"
            ) from None
    known = find_job(name)
    if known is not None:
        try:
            known.check(args, kwargs)
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
    async with opened_pool() as pool:
        job = await pool.enqueue_job(
            name,
            *args,
            _job_id=job_id,
            _queue_name=queue,
            _defer_by=defer_by,
            **kwargs,
        )
        if job is None:
            raise UsageError(f"the job {job_id} is there already, or its result is still kept")
        click.echo(job.job_id)
        if wait:
            click.echo(json.dumps(mask_value(await result_of(job, name, args, kwargs))))


async def result_of(job: Job, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the job answered; a ClickException where it ended in any other way."""
    try:
        return await job.result()
    except (Exception, asyncio.CancelledError) as error:
        info = await job.result_info()
        if info is None and isinstance(error, ResultNotFound):
            raise click.ClickException(
                "the job is over and keeps no result, so whether it was done cannot be told; if it "
                f"failed for good, `ringline failed show {job.job_id}` has it"
            ) from None
        if info is None or info.success:
            raise
        if isinstance(info.result, asyncio.CancelledError):
            raise click.ClickException("the job was aborted") from None
        known = find_job(name)
        parameters = () if known is None else known.parameters
        arguments = named_arguments(args, kwargs, parameters)
        raise click.ClickException(f"the job failed: {masked_error(error, arguments)}") from error
