"""Progress lines for faults and state, and result tables."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.table import Table

from jobs.chaos.report import Report
from jobs.chaos.schedule import LEASE, Fault, Schedule
from jobs.demo.console import Lines, Stage, print_invariants

STATE_INTERVAL: Final = 5.0
"""Minimum seconds between any line and the next line about the state."""


class Display:
    """Progress display of a chaos run: lines with the time since the first fault.

    Args:
        console: Console to print to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = Lines(console)
        self._started_at = time.monotonic()
        self._printed_at = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Show a step of the run. See `jobs.demo.console.Display`."""
        with self._lines.stage(name) as stage:
            yield stage

    def start_clock(self) -> None:
        """Start counting the time at the beginning of the faults."""
        self._started_at = time.monotonic()

    def show_fault(self, fault: Fault) -> None:
        """Print a fault that starts now.

        Args:
            fault: The fault.
        """
        self._print(str(fault))

    def show_state(self, text: str) -> None:
        """Print the state of the run, unless another line was printed recently.

        Args:
            text: Description of the state.
        """
        if time.monotonic() - self._printed_at >= STATE_INTERVAL:
            self._print(text, "dim")

    def show(self, text: str) -> None:
        """Print a line.

        Args:
            text: Text of the line.
        """
        self._print(text)

    def _print(self, text: str, style: str | None = None) -> None:
        self._printed_at = time.monotonic()
        line = _timed(self._printed_at - self._started_at, text)
        self._console.print(line, style=style, highlight=False, markup=False)


def _timed(seconds: float, text: object) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes:3.0f}:{seconds:04.1f}  {text}"


def print_schedule(console: Console, schedule: Schedule) -> None:
    """Print a schedule, one line per fault.

    Args:
        console: Console to print to.
        schedule: The fault schedule.
    """
    for fault in schedule.faults:
        console.print(_timed(fault.at, fault), highlight=False, markup=False)


def print_report(console: Console, report: Report) -> None:
    """Print tables of the faults, the figures and the invariants.

    Args:
        console: Console to print to.
        report: Report of the run.
    """
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
    table.add_row("workers lost while holding jobs", f"{len(report.recoveries):,}")
    longest = "-" if report.longest is None else f"{report.longest:.1f} s"
    table.add_row(f"longest undisturbed recovery (two leases: {2 * LEASE:g} s)", longest)
    overall = max((recovery.seconds for recovery in report.recoveries), default=None)
    table.add_row("longest recovery overall", "-" if overall is None else f"{overall:.1f} s")
    console.print(table)
    print_invariants(console, report.invariants)
