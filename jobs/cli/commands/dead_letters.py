"""`ringline failed`: inspect, retry and discard dead letters."""

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
from jobs.cli.resources import open_pool
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
    """Inspect, retry and discard dead letters.

    A dead letter is a job that failed for good, kept with its error and traceback.
    """


def filter_options(command: F) -> F:
    """Add the options that select dead letters to a command.

    Args:
        command: Click callback. Its keyword arguments for these options go to `make_filter`.

    Returns:
        The callback with the options.
    """
    options = (
        click.option("--job", "function", help="Only dead letters of this job."),
        click.option("--queue", help="Only dead letters of this queue."),
        click.option("--error", "error_class", help="Only this error class."),
        click.option("--fingerprint", help="Only this group of similar failures (see `groups`)."),
        click.option(
            "--older-than", type=DURATION, help="Only failures older than this, such as 2h or 7d."
        ),
        click.option(
            "--newer-than", type=DURATION, help="Only failures newer than this, such as 10m or 1d."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_filter(
    older_than: timedelta | None, newer_than: timedelta | None, **fields: Any
) -> DeadLetterFilter:
    """Build a filter from the values of `filter_options`.

    Args:
        older_than: Minimum age of the failure.
        newer_than: Maximum age of the failure.
        fields: The other fields of the filter.

    Returns:
        The filter, with ages as absolute times.
    """
    now = datetime.now(UTC)
    return DeadLetterFilter(
        failed_before=None if older_than is None else now - older_than,
        failed_after=None if newer_than is None else now - newer_than,
        **fields,
    )


@failed.command("list")
@filter_options
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="Maximum to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def list_dead_letters(limit: int, as_json: bool, **fields: Any) -> None:
    """List dead letters, newest first."""
    letters = asyncio.run(_find(make_filter(**fields), limit + 1))
    if as_json:
        for letter in letters[:limit]:
            click.echo(json.dumps(to_json(letter)))
        return
    if not letters:
        click.echo("no dead letters")
        return
    CONSOLE.print(_table(letters[:limit]))
    if len(letters) > limit:
        click.echo(f"only the newest {limit} are listed; for more, use --limit")


@failed.command()
@filter_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def groups(as_json: bool, **fields: Any) -> None:
    """Group similar failures, largest group first.

    Failures with the same fingerprint differ only in their data. To act on a group, pass its
    --fingerprint to `list`, `retry` or `discard`.
    """
    found = asyncio.run(_find_groups(make_filter(**fields)))
    if as_json:
        for group in found:
            click.echo(json.dumps(_group_to_json(group)))
        return
    if not found:
        click.echo("no dead letters")
        return
    CONSOLE.print(_group_table(found))


@failed.command()
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(job_id: str, as_json: bool) -> None:
    """Show a dead letter with its arguments and traceback.

    Personal data is masked.
    """
    letter = asyncio.run(_get(job_id))
    if as_json:
        click.echo(json.dumps(to_json(letter)))
        return
    for name, value in to_json(letter).items():
        if name != "traceback":
            click.echo(printable(f"{name:12} {value}"))
    click.echo(printable(letter.traceback.rstrip()))


@failed.command()
@click.argument("job_ids", nargs=-1)
@filter_options
@click.option("--all", "all_letters", is_flag=True, help="Retry all, or all that match the filter.")
def retry(job_ids: tuple[str, ...], all_letters: bool, **fields: Any) -> None:
    """Requeue failed jobs, selected by id or by filter.

    Each job gets its full number of tries again.
    """
    targets = _targets(job_ids, all_letters, make_filter(**fields))
    click.echo(f"{asyncio.run(_apply(targets, DeadLetterStore.retry))} requeued")


@failed.command()
@click.argument("job_ids", nargs=-1)
@filter_options
@click.option(
    "--all", "all_letters", is_flag=True, help="Discard all, or all that match the filter."
)
def discard(job_ids: tuple[str, ...], all_letters: bool, **fields: Any) -> None:
    """Discard dead letters, selected by id or by filter."""
    targets = _targets(job_ids, all_letters, make_filter(**fields))
    click.echo(f"{asyncio.run(_apply(targets, DeadLetterStore.discard))} discarded")


def to_json(letter: DeadLetter) -> dict[str, object]:
    """Convert a dead letter to its printable fields.

    Args:
        letter: The dead letter.

    Returns:
        JSON-compatible fields. The payload is left out, since it may hold personal data.
    """
    fields = letter.model_dump(mode="json", exclude={"payload", "traceback"})
    return {**fields, "arguments": letter.shown_arguments(), "traceback": letter.traceback}


def _targets(
    job_ids: Sequence[str], all_letters: bool, where: DeadLetterFilter
) -> Sequence[str | DeadLetterFilter]:
    is_filtered = where != DeadLetterFilter()
    if job_ids:
        if is_filtered or all_letters:
            raise UsageError("pass either job ids or a filter, not both")
        return job_ids
    if not (is_filtered or all_letters):
        raise UsageError("pass job ids, a filter such as --error, or --all")
    return [where]


async def _find(where: DeadLetterFilter, limit: int) -> list[DeadLetter]:
    async with open_pool() as pool:
        found = [
            letter
            for redis in pool.everywhere()
            for letter in await DeadLetterStore(redis).find(where, limit)
        ]
    return sorted(found, key=lambda letter: letter.failed_at, reverse=True)[:limit]


async def _find_groups(where: DeadLetterFilter) -> list[DeadLetterGroup]:
    async with open_pool() as pool:

        async def letters() -> AsyncIterator[DeadLetter]:
            for redis in pool.everywhere():
                async for letter in DeadLetterStore(redis).walk(where):
                    yield letter

        return await group_dead_letters(letters())


async def _get(job_id: str) -> DeadLetter:
    async with open_pool() as pool:
        for redis in pool.everywhere():
            letter = await DeadLetterStore(redis).get(job_id)
            if letter is not None:
                return letter
    raise NotFoundError("dead letter", job_id)


async def _apply(targets: Sequence[str | DeadLetterFilter], action: Callable[..., Any]) -> int:
    """Retry or discard the targets on all servers; return the number of dead letters changed."""
    total = 0
    async with open_pool() as pool:
        stores = [DeadLetterStore(redis) for redis in pool.everywhere()]
        for target in targets:
            changed = sum([await action(store, target) for store in stores])
            if not changed and isinstance(target, str):
                if any([await store.get(target) for store in stores]):
                    raise ConflictError(
                        f"job {target} is queued or running again: its dead letter is kept"
                    )
                raise NotFoundError("dead letter", target)
            total += changed
    return total


def _group_to_json(group: DeadLetterGroup) -> dict[str, object]:
    return {
        "fingerprint": group.fingerprint,
        "count": group.count,
        "first_failed_at": group.first_failed_at.isoformat(),
        "last_failed_at": group.last_failed_at.isoformat(),
        "example": to_json(group.example),
    }


def _group_table(found: Sequence[DeadLetterGroup]) -> Table:
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
    """Return text without rich markup and with control characters escaped."""
    return Text(printable(text))
