"""Results as Markdown tables."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from benchmarks.arena import Run
from benchmarks.lineup import Contestant

_BEGIN: Final = "<!-- measured by make bench -->"
_END: Final = "<!-- end of what was measured -->"


@dataclass(frozen=True, slots=True)
class Table:
    """Results of one measurement.

    Attributes:
        title: Heading.
        note: Conditions of the measurement.
        head: Column titles.
        rows: Cells of each row.
        raw: All measured values, for the JSON file.
    """

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    raw: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the table with its heading and note.

        Returns:
            Markdown text.
        """
        lines = [_line(self.head), _line(["---"] * len(self.head)), *map(_line, self.rows)]
        return f"### {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + "\n"


def replace_tables(text: str, tables: str) -> str:
    """Replace the tables of a Markdown document.

    Args:
        text: Document with a begin and an end mark.
        tables: New text between the marks.

    Returns:
        The new document.

    Raises:
        ValueError: The document lacks a mark.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no place for the tables: add the marks {_BEGIN} and {_END}")
    return f"{before}{begin}\n\n{tables}\n{end}{after}"


def contestants_table(contestants: Sequence[Contestant]) -> Table:
    """Build the table of the contestants and their settings.

    Args:
        contestants: Contestants of the run.

    Returns:
        The table.
    """
    rows = [[item.name, item.version, f"{item.concurrency:,}", item.why] for item in contestants]
    head = ["", "version", "concurrency", "setting"]
    return Table("Contestants", "Each at the best of the settings tried.", head, rows)


def median_run(runs: Sequence[Run]) -> Run:
    """Return the median of each figure.

    Args:
        runs: Runs of one contestant.

    Returns:
        The medians, which may come from different runs.
    """
    return Run(*(statistics.median(getattr(run, name) for run in runs) for name in Run.__slots__))


def raw_runs(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[dict[str, float]]]:
    """Convert runs to JSON-compatible values.

    Args:
        runs: Name of each contestant: its runs.

    Returns:
        Name of each contestant: the figures of its runs.
    """
    return {name: [asdict(run) for run in rounds] for name, rounds in runs.items()}


def per_s(value: float) -> str:
    """Format a rate per second."""
    return f"{value:,.0f}/s"


def microseconds(value: float) -> str:
    """Format microseconds."""
    return f"{value:,.1f} µs"


def costs(run: Run) -> tuple[str, str]:
    """Format the CPU per job of the process and of Redis."""
    return microseconds(run.worker_us), microseconds(run.redis_us)


def milliseconds(value: float) -> str:
    """Format milliseconds."""
    return f"{value:,.2f} ms"


def ratio(ours: float, theirs: float) -> str:
    """Format a quotient."""
    value = ours / theirs
    return f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def spread(values: Iterable[float]) -> str:
    """Format the minimum and the maximum."""
    ordered = sorted(values)
    return f"{ordered[0]:,.0f} to {ordered[-1]:,.0f}"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile by the nearest-rank method.

    Args:
        values: Measured values, at least one.
        percent: Percentile, from 0 to 100.

    Returns:
        The smallest value that at least `percent` of the values do not exceed.
    """
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
