"""`ringline failed`: the dead letters."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from rich.table import Table
from rich.text import Text

from jobs.cli.output import CONSOLE, printable
from jobs.cli.params import DURATION
from jobs.cli.resources import opened_pool
from jobs.engine import (
    DeadLetter,
    DeadLetterFilter,
    DeadLetterGroup,
    DeadLetterStore,
    group_dead_letters,
)
from jobs.errors import ConflictError, NotFoundError, UsageError

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
        click.option(
            "--newer-than", type=DURATION, help="Only those that failed since then, as 10m or 1d."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def filter_of(
    older_than: timedelta | None, newer_than: timedelta | None, **wanted: Any
) -> DeadLetterFilter:
    now = datetime.now(UTC)
    return DeadLetterFilter(
        failed_before=None if older_than is None else now - older_than,
        failed_after=None if newer_than is None else now - newer_than,
        **wanted,
    )


@failed.command("list")
@filtered
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(limit: int, as_json: bool, **wanted: Any) -> None:
    """The newest first."""
    letters = asyncio.run(_list(filter_of(**wanted), limit + 1))
    if as_json:
        for letter in letters[:limit]:
            click.echo(json.dumps(shown(letter)))
        return
    if not letters:
        click.echo("no dead letters")
        return
    CONSOLE.print(_table(letters[:limit]))
    if len(letters) > limit:
        click.echo(f"and more: these are the newest {limit}, see --limit")


@failed.command()
@filtered
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def groups(as_json: bool, **wanted: Any) -> None:
    """Failures that are the same but for the data, together; the largest group first.

    `list`, `retry` and `discard` take a group by its --fingerprint.
    """
    found = asyncio.run(_groups(filter_of(**wanted)))
    if as_json:
        for group in found:
            click.echo(json.dumps(_shown_group(group)))
        return
    if not found:
        click.echo("no dead letters")
        return
    CONSOLE.print(_table_of_groups(found))


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
            click.echo(printable(f"{name:12} {value}"))
    click.echo(printable(letter.traceback.rstrip()))


@failed.command()
@click.argument("job_ids", nargs=-1)
@filtered
@click.option("--all", "everything", is_flag=True, help="All of them, or all that the rest leaves.")
def retry(job_ids: tuple[str, ...], everything: bool, **wanted: Any) -> None:
    """Put jobs back into their queues, with all their tries; by id or by filter."""
    which = _which(job_ids, everything, filter_of(**wanted))
    click.echo(f"{asyncio.run(_each(which, DeadLetterStore.retry))} put back")


@failed.command()
@click.argument("job_ids", nargs=-1)
@filtered
@click.option("--all", "everything", is_flag=True, help="All of them, or all that the rest leaves.")
def discard(job_ids: tuple[str, ...], everything: bool, **wanted: Any) -> None:
    """Remove letters; by id or by filter."""
    which = _which(job_ids, everything, filter_of(**wanted))
    click.echo(f"{asyncio.run(_each(which, DeadLetterStore.discard))} discarded")


def shown(letter: DeadLetter) -> dict[str, object]:
    """The letter as it may be shown: without the payload, which may hold personal data."""
    fields = letter.model_dump(mode="json", exclude={"payload", "traceback"})
    return {**fields, "arguments": letter.shown_arguments(), "traceback": letter.traceback}


def _which(
    job_ids: Sequence[str], everything: bool, where: DeadLetterFilter
) -> Sequence[str | DeadLetterFilter]:
    narrowed = where != DeadLetterFilter()
    if job_ids:
        if narrowed or everything:
            raise UsageError("name ids, or a filter, but not both")
        return job_ids
    if not (narrowed or everything):
        raise UsageError("name the ids of jobs, or a filter such as --error, or --all")
    return [where]


async def _list(where: DeadLetterFilter, limit: int) -> list[DeadLetter]:
    async with opened_pool() as pool:
        found = [
            one
            for redis in pool.everywhere()
            for one in await DeadLetterStore(redis).find(where, limit)
        ]
    return sorted(found, key=lambda letter: letter.failed_at, reverse=True)[:limit]


async def _groups(where: DeadLetterFilter) -> list[DeadLetterGroup]:
    async with opened_pool() as pool:

        async def letters() -> AsyncIterator[DeadLetter]:
            for redis in pool.everywhere():
                async for letter in DeadLetterStore(redis).walk(where):
                    yield letter

        return await group_dead_letters(letters())


async def _get(job_id: str) -> DeadLetter:
    async with opened_pool() as pool:
        for redis in pool.everywhere():
            letter = await DeadLetterStore(redis).get(job_id)
            if letter is not None:
                return letter
    raise NotFoundError("dead letter", job_id)


async def _each(which: Sequence[str | DeadLetterFilter], do: Callable[..., Any]) -> int:
    done = 0
    async with opened_pool() as pool:
        letters = [DeadLetterStore(redis) for redis in pool.everywhere()]
        for one in which:
            changed = sum([await do(of_one_redis, one) for of_one_redis in letters])
            if not changed and isinstance(one, str):
                if any([await of_one_redis.get(one) for of_one_redis in letters]):
                    raise ConflictError(f"job {one} is queued or running again: its letter stays")
                raise NotFoundError("dead letter", one)
            done += changed
    return done


def _shown_group(group: DeadLetterGroup) -> dict[str, object]:
    return {
        "fingerprint": group.fingerprint,
        "count": group.count,
        "first_failed_at": group.first_failed_at.isoformat(),
        "last_failed_at": group.last_failed_at.isoformat(),
        "example": shown(group.example),
    }


def _table_of_groups(found: Sequence[DeadLetterGroup]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("fingerprint", no_wrap=True)
    table.add_column("count", justify="right")
    for name in ("job", "first failed at", "last failed at", "example", "error"):
        table.add_column(name)
    for group in found:
        example = group.example
        table.add_row(
            _cell(group.fingerprint),
            f"{group.count:,}",
            _cell(example.function),
            f"{group.first_failed_at:%Y-%m-%d %H:%M:%S}",
            f"{group.last_failed_at:%Y-%m-%d %H:%M:%S}",
            _cell(example.job_id),
            _cell(f"{example.error_class}: {example.message}"),
        )
    return table


def _table(letters: Sequence[DeadLetter]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("job id", no_wrap=True)
    for name in ("job", "tries", "failed at", "error"):
        table.add_column(name, justify="right" if name == "tries" else "left")
    for letter in letters:
        table.add_row(
            _cell(letter.job_id),
            _cell(letter.function),
            str(letter.tries),
            f"{letter.failed_at:%Y-%m-%d %H:%M:%S}",
            _cell(f"{letter.error_class}: {letter.message}"),
        )
    return table


def _cell(text: str) -> Text:
    """Neither rich's markup in it nor a terminal's is obeyed."""
    return Text(printable(text))
