"""`ringline status`: how the queues are, over all workers."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import click
from rich.live import Live
from rich.table import Table

from jobs.cli import interruptible
from jobs.cli.output import CONSOLE
from jobs.cli.resources import opened_pool
from jobs.engine import DeadLetterStore, Pool, QueueStats, read_stats

REFRESH = 1.0
"""Seconds between two looks with --watch."""


@click.command()
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a look.")
def status(watch: bool, as_json: bool) -> None:
    """Show each queue's length, success rate, times, retries and errors, over all workers."""
    with suppress(click.Abort):  # Ctrl-C is how --watch ends
        interruptible.run(_status(watch, as_json))


async def _status(watch: bool, as_json: bool) -> None:
    async with opened_pool() as pool:
        if as_json:
            await _print_json(pool, watch)
        elif watch:
            await _watch(pool)
        else:
            CONSOLE.print(table(*await _look(pool)))


async def _print_json(pool: Pool, watch: bool) -> None:
    while True:
        queues, dead = await _look(pool)
        click.echo(json.dumps({"queues": [figures(one) for one in queues], "dead_letters": dead}))
        if not watch:
            return
        await asyncio.sleep(REFRESH)


async def _watch(pool: Pool) -> None:
    with Live(table(*await _look(pool)), console=CONSOLE, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(REFRESH)
            live.update(table(*await _look(pool)), refresh=True)


async def _look(pool: Pool) -> tuple[list[QueueStats], int]:
    """The queues, and the number of dead letters."""
    queues = [await read_stats(pool.at(queue), queue) for queue in pool.queues.all()]
    return queues, sum([await DeadLetterStore(one).count() for one in pool.everywhere()])


def figures(stats: QueueStats) -> dict[str, object]:
    """A queue as JSON; times in seconds."""
    return {
        "queue": stats.queue,
        "length": stats.length,
        "waiting": stats.waiting,
        "scheduled": stats.scheduled,
        "running": stats.running,
        "done": stats.done,
        "retries": stats.retried,
        "dead": stats.dead,
        "discarded": stats.discarded,
        "aborted": stats.aborted,
        "released": stats.released,
        "success_rate": stats.success_rate,
        "error_rate": stats.error_rate,
        "p50": _seconds(stats.quantile(0.5)),
        "p95": _seconds(stats.quantile(0.95)),
    }


def table(queues: Sequence[QueueStats], dead: int) -> Table:
    """The queues, one a row."""
    caption = f"dead letters: {dead}" + (" (see `ringline failed list`)" if dead else "")
    shown = Table(box=None, header_style="bold", pad_edge=False, caption=caption)
    shown.caption_justify = "left"
    shown.add_column("queue")
    for name in (
        *("length", "scheduled", "running", "done", "success", "p50", "p95"),
        *("retries", "errors", "dead"),
    ):
        shown.add_column(name, justify="right")
    for one in queues:
        shown.add_row(
            one.queue,
            *(f"{number:,}" for number in (one.length, one.scheduled, one.running, one.done)),
            _percent(one.success_rate),
            _duration(one.quantile(0.5)),
            _duration(one.quantile(0.95)),
            f"{one.retried:,}",
            _percent(one.error_rate),
            f"{one.dead:,}",
        )
    return shown


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 6)


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1%}"


def _duration(span: timedelta | None) -> str:
    if span is None:
        return "-"
    seconds = span.total_seconds()
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
