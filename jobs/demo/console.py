"""How a run is shown: bars on a terminal, plain lines elsewhere, and the tables at its end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from jobs.analytics.model import Report
from jobs.demo.invariants import Entry
from jobs.engine import DeadLetter

LINE_EVERY: Final = 5.0
"""Seconds between two lines about the same stage."""
MOST_LETTERS: Final = 20


class Stage(Protocol):
    """One step of a run."""

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """How far it is; total is None while that is not known."""
        ...


class Display(Protocol):
    """Where the stages of a run are shown."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]: ...


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, note=note)


class Bars:
    """Progress bars, one a stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        task = self._progress.add_task(name, total=None, note="")
        yield _Bar(self._progress, task)
        shown = next(one for one in self._progress.tasks if one.id == task)
        if shown.total is None:
            self._progress.update(task, total=1, completed=1)
        self._progress.stop_task(task)


class _Line:
    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._told = time.monotonic()
        self.latest = ""

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        figures = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        self.latest = f"{figures}  {note}".rstrip()
        if time.monotonic() - self._told >= LINE_EVERY:
            self._told = time.monotonic()
            self._console.print(f"{self._name}: {self.latest}", highlight=False)


class Lines:
    """A line for each stage at its end, and one now and then during a long one."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        started = time.monotonic()
        line = _Line(self._console, name)
        yield line
        seconds = time.monotonic() - started
        text = f"{name}: {line.latest}  ({seconds:.1f} s)" if line.latest else f"{name}: done"
        self._console.print(text, highlight=False)


@contextmanager
def display(console: Console) -> Iterator[Display]:
    """Bars where there is a terminal, else lines."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)


def print_metrics(console: Console, report: Report) -> None:
    """The campaign's figures."""
    totals = report.totals
    table = Table(title="Campaign", box=None, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, figure in (
        ("leads", totals.leads),
        ("leads tried", totals.leads_tried),
        ("leads reached by a human", totals.leads_reached),
        ("attempts", totals.sums.attempts),
        ("answered", totals.sums.answered),
        ("answered by a human", totals.sums.answered_by_human),
        ("conversions", totals.sums.conversions),
        ("seconds of conversation", totals.sums.seconds),
    ):
        table.add_row(name, f"{figure:,}")
    for name, value in report.metrics.items():
        table.add_row(name.replace("_", " "), _metric(value))
    console.print(table)


def _metric(value: float | None) -> str:
    return "-" if value is None else f"{float(value):,.4g}"


def print_books(console: Console, books: Sequence[Entry]) -> None:
    """The books, with what is behind a difference."""
    table = Table(title="Books", box=None, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for entry in books:
        sign = Text("ok", "green") if entry.balances else Text("WRONG", "bold red")
        figures = f"{entry.left:,}" if entry.balances else f"{entry.left:,} ≠ {entry.right:,}"
        table.add_row(Text(entry.name), figures, sign)
        if entry.detail:
            table.add_row(Text(f"  {entry.detail}", "red"), "", "")
    console.print(table)


def print_dead(console: Console, dead: Sequence[DeadLetter]) -> None:
    """The dead letters, where there are any."""
    for letter in dead[:MOST_LETTERS]:
        text = f"dead letter {letter.job_id}: {letter.function}({letter.shown_arguments()}): "
        console.print(Text(f"{text}{letter.error_class}: {letter.message}", "red"))
    if len(dead) > MOST_LETTERS:
        console.print(f"… and {len(dead) - MOST_LETTERS} more dead letters")
