"""What was measured, as Markdown tables."""

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
    """One finding. raw: each value that was measured, for the JSON file."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    raw: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        lines = [_line(self.head), _line(["---"] * len(self.head)), *map(_line, self.rows)]
        return f"### {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + "\n"


def updated(text: str, tables: str) -> str:
    """`text` with `tables` between its two marks. Raises ValueError where it has none."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no place for the tables: write {_BEGIN} and {_END} where they belong")
    return f"{before}{begin}\n\n{tables}\n{end}{after}"


def introduced(contestants: Sequence[Contestant]) -> Table:
    """Who takes part, and how."""
    rows = [[one.name, one.version, f"{one.concurrency:,}", one.why] for one in contestants]
    head = ["", "version", "at once", "setting"]
    return Table("Contestants", "Each at its best setting of those tried.", head, rows)


def median_run(runs: Sequence[Run]) -> Run:
    """Each figure's own median."""
    return Run(*(statistics.median(getattr(run, name) for run in runs) for name in Run.__slots__))


def raw_runs(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[dict[str, float]]]:
    return {name: [asdict(run) for run in rounds] for name, rounds in runs.items()}


def per_s(value: float) -> str:
    return f"{value:,.0f}/s"


def microseconds(value: float) -> str:
    return f"{value:,.1f} µs"


def costs(run: Run) -> tuple[str, str]:
    """The CPU that a job takes, of its process and of Redis."""
    return microseconds(run.worker_us), microseconds(run.redis_us)


def milliseconds(value: float) -> str:
    return f"{value:,.2f} ms"


def ratio(ours: float, theirs: float) -> str:
    value = ours / theirs
    return f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def spread(values: Iterable[float]) -> str:
    """The least and the most."""
    found = sorted(values)
    return f"{found[0]:,.0f} to {found[-1]:,.0f}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of them do not exceed, by the nearest rank."""
    found = sorted(values)
    return found[max(math.ceil(len(found) * percent / 100), 1) - 1]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
