"""A recorded campaign from a CSV file: leads to be called again, and how each call then ended.

The file has one row a lead. `campaign` counts its attempts, of which only the last was answered;
that one lasted `duration` seconds, and `y` says whether it converted. These three are known only
after the calls, so they become the provider's plan; all other columns become the lead.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jobs.errors import UsageError
from jobs.lead.csvfile import Record, open_csv
from jobs.rules.fictional import fictional_number
from jobs.voice.simulator.plan import Recorded, ReplayPlan

OUTCOMES: Final = {"yes": "converted", "no": "not_interested"}
AFTERWARDS: Final = ("campaign", "duration", "y")
"""Columns that tell what came of the calls."""


@dataclass(slots=True)
class Sums:
    """What a report must show for some of the leads."""

    leads: int = 0
    attempts: int = 0
    conversions: int = 0
    seconds: int = 0

    def add(self, recorded: Recorded) -> None:
        self.leads += 1
        self.attempts += recorded.attempts
        self.conversions += recorded.outcome == OUTCOMES["yes"]
        self.seconds += recorded.duration


@dataclass(frozen=True, slots=True)
class FileSums:
    """The file's own totals, in all and for each value of each lead column."""

    total: Sums = field(default_factory=Sums)
    by_column: dict[str, defaultdict[str, Sums]] = field(default_factory=dict)

    def add(self, columns: Mapping[str, str], recorded: Recorded) -> None:
        self.total.add(recorded)
        for name, value in columns.items():
            self.by_column.setdefault(name, defaultdict(Sums))[value].add(recorded)


@dataclass(frozen=True, slots=True)
class RecordedCampaign:
    """A campaign that can be replayed."""

    plan: ReplayPlan
    sums: FileSums


def read_campaign(path: Path, leads: Path) -> RecordedCampaign:
    """Reads a recorded campaign (CSV, also gzipped) and writes its leads, with made-up numbers.

    leads: the CSV file to be written, for an import. Raises UsageError or ValidationError with a
    line that names the file and what is wrong.
    """
    recorded: dict[str, Recorded] = {}
    sums = FileSums()
    with (
        open_csv(path, None, AFTERWARDS.__contains__) as (header, records),
        leads.open("w", newline="", encoding="utf-8") as file,
    ):
        columns = _lead_columns(path, header)
        writer = csv.writer(file)
        writer.writerow(["phone", *columns])
        for index, record in enumerate(records):
            row = _row(path, header, record)
            number = _number(path, index)
            recorded[number] = _recorded(path, record.line, row)
            lead = {name: row[name] for name in columns}
            writer.writerow([number, *lead.values()])
            sums.add(lead, recorded[number])
    if not recorded:
        raise UsageError(f"{path}: there is no row below the header")
    return RecordedCampaign(ReplayPlan(recorded), sums)


def _lead_columns(path: Path, header: Iterable[str]) -> list[str]:
    missing = [name for name in AFTERWARDS if name not in header]
    if missing:
        raise UsageError(
            f"{path}: no column {', '.join(missing)}: a recorded campaign has the columns "
            f"{', '.join(AFTERWARDS)} besides those of the lead"
        )
    return [name for name in header if name not in AFTERWARDS]


def _row(path: Path, header: list[str], record: Record) -> Mapping[str, str]:
    if record.problem is not None:
        raise UsageError(f"{path}: line {record.line}: {record.problem}")
    return dict(zip(header, map(str.strip, record.cells), strict=True))


def _number(path: Path, index: int) -> str:
    try:
        return fictional_number(index)
    except IndexError:
        raise UsageError(f"{path}: there are only {index:,} safe numbers for its leads") from None


def _recorded(path: Path, line: int, row: Mapping[str, str]) -> Recorded:
    def count(column: str, least: int) -> int:
        text = row[column]
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise UsageError(
                f"{path}: line {line}: {column} is {text!r}, not a whole number from {least} on"
            )
        return int(text)

    outcome = OUTCOMES.get(row["y"])
    if outcome is None:
        raise UsageError(f"{path}: line {line}: y is {row['y']!r}, not yes or no")
    return Recorded(count("campaign", 1), count("duration", 0), outcome)
