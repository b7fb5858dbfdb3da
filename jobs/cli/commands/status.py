"""`ringline status`: show queue statistics over all workers."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import click
from rich.live import Live
from rich.table import Table

from jobs.cli import interruptible
from jobs.cli.output import CONSOLE
from jobs.cli.resources import open_pool
from jobs.engine import DeadLetterStore, Pool, QueueStats, read_stats

REFRESH: Final = 1.0
"""Seconds between two updates with --watch."""


@click.command()
@click.option("--watch", is_flag=True, help="Update every second until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per update.")
def status(watch: bool, as_json: bool) -> None:
    """Show the length, rates and latencies of each queue.

    Success and error rates, run time percentiles and retries cover all workers.
    """
    with suppress(click.Abort):  # Ctrl-C is the normal end of --watch
        interruptible.run(_status(watch, as_json))


async def _status(watch: bool, as_json: bool) -> None:
    async with open_pool() as pool:
        if as_json:
            await _print_json(pool, watch)
        elif watch:
            await _watch(pool)
        else:
            CONSOLE.print(table(*await _read(pool)))


async def _print_json(pool: Pool, watch: bool) -> None:
    while True:
        queues, dead = await _read(pool)
        click.echo(
            json.dumps({"queues": [to_json(queue) for queue in queues], "dead_letters": dead})
        )
        if not watch:
            return
        await asyncio.sleep(REFRESH)


async def _watch(pool: Pool) -> None:
    with Live(table(*await _read(pool)), console=CONSOLE, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(REFRESH)
            live.update(table(*await _read(pool)), refresh=True)


async def _read(pool: Pool) -> tuple[list[QueueStats], int]:
    """Read the queues' statistics and the number of dead letters."""
    queues = [await read_stats(pool.at(queue), queue) for queue in pool.queues.all()]
    return queues, sum([await DeadLetterStore(redis).count() for redis in pool.everywhere()])


def to_json(stats: QueueStats) -> dict[str, object]:
    """Convert a queue's statistics to JSON-compatible fields.

    Args:
        stats: Statistics of one queue.

    Returns:
        Counts, rates from 0 to 1, and run time percentiles in seconds.
    """
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
    """Build the status table.

    Args:
        queues: Statistics, one row per queue.
        dead: Number of dead letters, for the caption.

    Returns:
        The table.
    """
    caption = f"dead letters: {dead}" + (" (see `ringline failed list`)" if dead else "")
    rows = Table(box=None, header_style="bold", pad_edge=False, caption=caption)
    rows.caption_justify = "left"
    rows.add_column("queue")
    for name in (
        *("length", "scheduled", "running", "done", "success", "p50", "p95"),
        *("retries", "errors", "dead"),
    ):
        rows.add_column(name, justify="right")
    for stats in queues:
        rows.add_row(
            stats.queue,
            *(f"{count:,}" for count in (stats.length, stats.scheduled, stats.running, stats.done)),
            _percent(stats.success_rate),
            _duration(stats.quantile(0.5)),
            _duration(stats.quantile(0.95)),
            f"{stats.retried:,}",
            _percent(stats.error_rate),
            f"{stats.dead:,}",
        )
    return rows


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 6)


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1%}"


def _duration(span: timedelta | None) -> str:
    if span is None:
        return "-"
    seconds = span.total_seconds()
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
