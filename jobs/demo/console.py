"""Progress display (bars on a terminal, lines elsewhere) and result tables."""

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
from jobs.demo.invariants import Invariant
from jobs.engine import DeadLetter

LINE_INTERVAL: Final = 5.0
"""Minimum seconds between two lines about one stage."""
MAX_DEAD_LETTERS: Final = 20
"""Maximum number of dead letters to print."""
ACRONYMS: Final = frozenset({"acd", "aht", "asr"})
"""Names of metrics to print in capitals."""


class Stage(Protocol):
    """Progress of one step of a run."""

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show the progress so far.

        Args:
            done: Number of finished items.
            total: Number of all items; None while it is unknown.
            note: Text to show beside the figures.
        """
        ...


class Display(Protocol):
    """Progress display of a run."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Show a step of the run while the block runs.

        Args:
            name: Name of the step.

        Returns:
            A context manager with the step's progress.
        """
        ...


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, note=note)


class Bars:
    """Display with one progress bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Show a bar while the block runs. See `Display`."""
        task_id = self._progress.add_task(name, total=None, note="")
        yield _Bar(self._progress, task_id)
        task = next(task for task in self._progress.tasks if task.id == task_id)
        if task.total is None:
            self._progress.update(task_id, total=1, completed=1)
        self._progress.stop_task(task_id)


class _Line:
    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._printed_at = time.monotonic()
        self.latest = ""

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        figures = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        self.latest = f"{figures}  {note}".rstrip()
        if time.monotonic() - self._printed_at >= LINE_INTERVAL:
            self._printed_at = time.monotonic()
            self._console.print(f"{self._name}: {self.latest}", highlight=False)


class Lines:
    """Display with one line at the end of each stage, and more during a long stage."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Print lines while the block runs and when it ends. See `Display`."""
        started = time.monotonic()
        line = _Line(self._console, name)
        yield line
        seconds = time.monotonic() - started
        text = f"{name}: {line.latest}  ({seconds:.1f} s)" if line.latest else f"{name}: done"
        self._console.print(text, highlight=False)


@contextmanager
def open_display(console: Console) -> Iterator[Display]:
    """Open the display that suits the console.

    Args:
        console: Console to print to.

    Returns:
        A context manager with a display: bars on a terminal, lines elsewhere.
    """
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
    """Print a campaign's totals and metrics as a table.

    Args:
        console: Console to print to.
        report: Report of the campaign.
    """
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
        label = name.upper() if name in ACRONYMS else name.replace("_", " ")
        table.add_row(label, _metric(value))
    console.print(table)


def _metric(value: float | None) -> str:
    return "-" if value is None else f"{float(value):,.4g}"


def print_invariants(console: Console, invariants: Sequence[Invariant]) -> None:
    """Print each invariant, and the detail of a violated invariant.

    Args:
        console: Console to print to.
        invariants: Checked invariants of a run.
    """
    table = Table(title="Invariants", box=None, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for invariant in invariants:
        left, right = invariant.left, invariant.right
        verdict = Text("ok", "green") if invariant.holds else Text("VIOLATED", "bold red")
        figures = f"{left:,}" if invariant.holds else f"{left:,} ≠ {right:,}"
        table.add_row(Text(invariant.name), figures, verdict)
        if invariant.detail:
            table.add_row(Text(f"  {invariant.detail}", "red"), "", "")
    console.print(table)


def print_dead_letters(console: Console, letters: Sequence[DeadLetter]) -> None:
    """Print dead letters with masked arguments, if there are any.

    Args:
        console: Console to print to.
        letters: Dead letters of a run; at most `MAX_DEAD_LETTERS` are printed.
    """
    for letter in letters[:MAX_DEAD_LETTERS]:
        text = f"dead letter {letter.job_id}: {letter.function}({letter.shown_arguments()}): "
        console.print(Text(f"{text}{letter.error_class}: {letter.message}", "red"))
    if len(letters) > MAX_DEAD_LETTERS:
        console.print(f"… and {len(letters) - MAX_DEAD_LETTERS} more dead letters")
