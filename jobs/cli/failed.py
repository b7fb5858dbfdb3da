"""`jobs failed`: the dead letters."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from rich.table import Table
from rich.text import Text

from jobs.cli.console import CONSOLE
from jobs.cli.duration import DURATION
from jobs.cli.services import opened_pool
from jobs.engine import DeadLetter, DeadLetters, LetterFilter
from jobs.errors import NotFoundError, UsageError

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def failed() -> None:
    """Dead letters: jobs that failed for good, kept with the reason."""


def filtered(command: F) -> F:
    """Options that say which letters; a command's parameters of these names make a filter."""
    options = (
        click.option("--job", "function", help="Only those of this job."),
        click.option("--queue", help="Only those of this queue."),
        click.option("--error", "error_class", help="Only those with this error class."),
        click.option("--fingerprint", help="Only failures that are the same but for the data."),
        click.option(
            "--older-than", type=DURATION, help="Only those that failed longer ago, as 2h or 7d."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def filter_of(older_than: timedelta | None, **wanted: str | None) -> LetterFilter:
    before = None if older_than is None else datetime.now(UTC) - older_than
    return LetterFilter(failed_before=before, **wanted)


@failed.command("list")
@filtered
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(limit: int, as_json: bool, older_than: timedelta | None, **wanted: Any) -> None:
    """The newest first."""
    letters = asyncio.run(_list(filter_of(older_than, **wanted), limit))
    if as_json:
        for letter in letters:
            click.echo(json.dumps(shown(letter)))
        return
    if not letters:
        click.echo("no dead letters")
        return
    CONSOLE.print(_table(letters))


@failed.command()
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True)
def show(job_id: str, as_json: bool) -> None:
    """One letter, with its arguments and its traceback; personal data is masked."""
    letter = asyncio.run(_get(job_id))
    if as_json:
        click.echo(json.dumps(shown(letter)))
        return
    for name, value in shown(letter).items():
        if name != "traceback":
            click.echo(f"{name:12} {value}")
    click.echo(letter.traceback.rstrip())


@failed.command()
@click.argument("job_ids", nargs=-1)
@filtered
@click.option("--all", "everything", is_flag=True, help="All of them, or all that the rest leaves.")
def retry(
    job_ids: tuple[str, ...], everything: bool, older_than: timedelta | None, **wanted: Any
) -> None:
    """Put jobs back into their queues, with all their tries; by id or by filter."""
    which = _which(job_ids, everything, filter_of(older_than, **wanted))
    click.echo(f"{asyncio.run(_each(which, DeadLetters.retry))} put back")


@failed.command()
@click.argument("job_ids", nargs=-1)
@filtered
@click.option("--all", "everything", is_flag=True, help="All of them, or all that the rest leaves.")
def discard(
    job_ids: tuple[str, ...], everything: bool, older_than: timedelta | None, **wanted: Any
) -> None:
    """Remove letters; by id or by filter."""
    which = _which(job_ids, everything, filter_of(older_than, **wanted))
    click.echo(f"{asyncio.run(_each(which, DeadLetters.discard))} discarded")


def shown(letter: DeadLetter) -> dict[str, object]:
    """The letter as it may be shown: without the payload, which may hold personal data."""
    fields = letter.model_dump(mode="json", exclude={"payload", "traceback"})
    return {**fields, "arguments": letter.shown_arguments(), "traceback": letter.traceback}


def _which(
    job_ids: Sequence[str], everything: bool, where: LetterFilter
) -> Sequence[str | LetterFilter]:
    narrowed = where != LetterFilter()
    if job_ids:
        if narrowed or everything:
            raise UsageError("name ids, or a filter, but not both")
        return job_ids
    if not (narrowed or everything):
        raise UsageError("name the ids of jobs, or a filter such as --error, or --all")
    return [where]


async def _list(where: LetterFilter, limit: int) -> list[DeadLetter]:
    async with opened_pool() as pool:
        found = [
            one
            for redis in pool.everywhere()
            for one in await DeadLetters(redis).find(where, limit)
        ]
    return sorted(found, key=lambda letter: letter.failed_at, reverse=True)[:limit]


async def _get(job_id: str) -> DeadLetter:
    async with opened_pool() as pool:
        for redis in pool.everywhere():
            letter = await DeadLetters(redis).get(job_id)
            if letter is not None:
                return letter
    raise NotFoundError("dead letter", job_id)


async def _each(which: Sequence[str | LetterFilter], do: Callable[..., Any]) -> int:
    done = 0
    async with opened_pool() as pool:
        letters = [DeadLetters(redis) for redis in pool.everywhere()]
        for one in which:
            changed = sum([await do(of_one_redis, one) for of_one_redis in letters])
            if not changed and isinstance(one, str):
                raise NotFoundError("dead letter", one)
            done += changed
    return done


def _table(letters: Sequence[DeadLetter]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("job id", no_wrap=True)
    for name in ("job", "tries", "failed at", "error"):
        table.add_column(name, justify="right" if name == "tries" else "left")
    for letter in letters:
        table.add_row(
            Text(letter.job_id),
            Text(letter.function),
            str(letter.tries),
            f"{letter.failed_at:%Y-%m-%d %H:%M:%S}",
            Text(f"{letter.error_class}: {letter.message}"),
        )
    return table
