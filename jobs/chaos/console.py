"""How a run is shown: a line for each fault, the state now and then, and tables at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.table import Table

from jobs.chaos.report import Report
from jobs.chaos.schedule import LEASE, Fault, Schedule
from jobs.demo.console import Lines, Stage, print_books

STATE_EVERY: Final = 5.0
"""Seconds between two lines about the state."""


class Display:
    """Lines on a console, with the time since the faults began."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = Lines(console)
        self._began = time.monotonic()
        self._told = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """As `jobs.demo.console.Display`."""
        with self._lines.stage(name) as stage:
            yield stage

    def begin(self) -> None:
        """The faults begin now."""
        self._began = time.monotonic()

    def fault(self, fault: Fault) -> None:
        self._print(str(fault))

    def state(self, text: str) -> None:
        """Shown if nothing was for a while."""
        if time.monotonic() - self._told >= STATE_EVERY:
            self._print(text, "dim")

    def say(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str, style: str | None = None) -> None:
        self._told = time.monotonic()
        minutes, seconds = divmod(self._told - self._began, 60)
        self._console.print(
            f"{minutes:3.0f}:{seconds:04.1f}  {text}", style=style, highlight=False, markup=False
        )


def print_schedule(console: Console, schedule: Schedule) -> None:
    """The faults, a line each."""
    for fault in schedule.faults:
        minutes, seconds = divmod(fault.at, 60)
        console.print(f"{minutes:3.0f}:{seconds:04.1f}  {fault}", highlight=False, markup=False)


def print_report(console: Console, report: Report) -> None:
    """Faults, figures and books."""
    table = Table(title="Faults", box=None, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, count in sorted(report.faults.items()):
        table.add_row(name, f"{count:,}")
    console.print(table)
    table = Table(title="Figures", box=None, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, count in report.figures.items():
        table.add_row(name, f"{count:,}")
    table.add_row("workers that fell silent while they held jobs", f"{len(report.recoveries):,}")
    longest = "-" if report.longest is None else f"{report.longest:.1f} s"
    table.add_row(f"longest undisturbed recovery (two leases: {2 * LEASE:g} s)", longest)
    overall = max((one.seconds for one in report.recoveries), default=None)
    table.add_row("longest, other faults included", "-" if overall is None else f"{overall:.1f} s")
    console.print(table)
    print_books(console, report.books)
