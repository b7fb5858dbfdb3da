"""`jobs enqueue`: one job, from the command line."""

import asyncio
import json
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import click
from arq.jobs import Job

from jobs.cli.duration import DURATION
from jobs.cli.services import job_names, opened_pool
from jobs.engine import find_job
from jobs.engine.outcome_log import masked_error
from jobs.errors import UsageError, ValidationError
from jobs.rules.personal import masked, named


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

    An argument is read as JSON where it is JSON, and else as text: 5, true, [1,2], hello.
    """
    check_name(name)
    values, keywords = tuple(map(value, args)), dict(map(keyword, kwargs))
    check_arguments(name, values, keywords)
    asyncio.run(_enqueue(name, values, keywords, defer_by, job_id, queue, wait))


def value(text: str) -> Any:
    """What an argument means: JSON, or plain text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


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
    """Raises UsageError where the job would refuse them."""
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
            click.echo(json.dumps(masked(await _result(job, name, args, kwargs))))


async def _result(job: Job, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return await job.result()
    except Exception as error:
        info = await job.result_info()
        if info is None or info.success:
            raise
        known = find_job(name)
        parameters = () if known is None else known.parameters
        arguments = named(args, kwargs, parameters)
        raise click.ClickException(f"the job failed: {masked_error(error, arguments)}") from error
