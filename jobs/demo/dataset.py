"""Recorded campaigns from CSV files, replayed call by call.

The file has one row per lead. `campaign` is the lead's number of attempts, of which only the last
was answered; `duration` is the length of that call in seconds, and `y` says whether the lead
converted. These three columns are outcomes, so they become the provider's plan. All other columns
become the lead.
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
OUTCOME_COLUMNS: Final = ("campaign", "duration", "y")


@dataclass(slots=True)
class Sums:
    """Sums over some of a dataset's leads, which the report must reproduce.

    Attributes:
        leads: Number of leads.
        attempts: Number of call attempts.
        conversions: Number of converted leads.
        seconds: Seconds of conversation.
    """

    leads: int = 0
    attempts: int = 0
    conversions: int = 0
    seconds: int = 0

    def add(self, recorded: Recorded) -> None:
        """Add one lead.

        Args:
            recorded: Recorded calls of the lead.
        """
        self.leads += 1
        self.attempts += recorded.attempts
        self.conversions += recorded.outcome == OUTCOMES["yes"]
        self.seconds += recorded.duration


@dataclass(frozen=True, slots=True)
class FileSums:
    """Sums over a dataset.

    Attributes:
        total: Sums over all leads.
        by_column: Sums per lead column and value: `by_column[column][value]`.
    """

    total: Sums = field(default_factory=Sums)
    by_column: dict[str, defaultdict[str, Sums]] = field(default_factory=dict)

    def add(self, columns: Mapping[str, str], recorded: Recorded) -> None:
        """Add one lead.

        Args:
            columns: The lead's columns and their values.
            recorded: Recorded calls of the lead.
        """
        self.total.add(recorded)
        for name, value in columns.items():
            self.by_column.setdefault(name, defaultdict(Sums))[value].add(recorded)


@dataclass(frozen=True, slots=True)
class RecordedCampaign:
    """A recorded campaign, ready for replay.

    Attributes:
        plan: Outcome of each lead's calls, by phone number.
        sums: Sums that the report must reproduce.
    """

    plan: ReplayPlan
    sums: FileSums


def read_campaign(path: Path, leads: Path) -> RecordedCampaign:
    """Read a recorded campaign and write its leads, with fictional numbers, as a CSV file.

    Args:
        path: Recorded campaign, plain or gzipped CSV.
        leads: Lead file to write, ready for import.

    Returns:
        The plan and the sums of the campaign.

    Raises:
        UsageError: A column is missing, a row is bad, or there are too many rows. The message
            names the file and the line.
        ValidationError: The file is missing, empty or not text.
    """
    recorded: dict[str, Recorded] = {}
    sums = FileSums()
    with (
        open_csv(path, None, OUTCOME_COLUMNS.__contains__) as (header, records),
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
        raise UsageError(f"{path}: no rows below the header")
    return RecordedCampaign(ReplayPlan(recorded), sums)


def _lead_columns(path: Path, header: Iterable[str]) -> list[str]:
    missing = [name for name in OUTCOME_COLUMNS if name not in header]
    if missing:
        raise UsageError(
            f"{path}: no column {', '.join(missing)}: a recorded campaign needs the columns "
            f"{', '.join(OUTCOME_COLUMNS)} besides the lead's columns"
        )
    return [name for name in header if name not in OUTCOME_COLUMNS]


def _row(path: Path, header: list[str], record: Record) -> Mapping[str, str]:
    if record.problem is not None:
        raise UsageError(f"{path}: line {record.line}: {record.problem}")
    return dict(zip(header, map(str.strip, record.cells), strict=True))


def _number(path: Path, index: int) -> str:
    try:
        return fictional_number(index)
    except IndexError:
        raise UsageError(
            f"{path}: more rows than fictional phone numbers, of which there are {index:,}"
        ) from None


def _recorded(path: Path, line: int, row: Mapping[str, str]) -> Recorded:
    def count(column: str, minimum: int) -> int:
        text = row[column]
        if not (text.isascii() and text.isdigit() and int(text) >= minimum):
            raise UsageError(
                f"{path}: line {line}: {column} is {text!r}, not a whole number >= {minimum}"
            )
        return int(text)

    outcome = OUTCOMES.get(row["y"])
    if outcome is None:
        raise UsageError(f"{path}: line {line}: y is {row['y']!r}, not yes or no")
    return Recorded(count("campaign", 1), count("duration", 0), outcome)
