"""The tables of calling hours, read from CSV once and validated.

The files, their origin and the way to change them are in `data/`.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import ValidationError as SpanError

from jobs.errors import ValidationError
from jobs.rules.calendar import Spans
from jobs.rules.hours.exceptions import FIXED_CLOCKS
from jobs.rules.hours.weekdays import Week, week

VERSION: Final = "2026-11-30"
"""Day on which the tables were last checked."""

_HOURS_HEADER: Final = (
    "region,effective,weekdays,saturday,sunday,holidays,cap,consent_for,consent_from,consent,scope"
    ",citation,checked"
)
_AUTOMATED_HEADER: Final = "region,effective,weekdays,saturday,sunday,cap,note,citation,checked"
_REGION: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?", re.ASCII)
_CAP: Final = re.compile(r"([1-9][0-9]*) per ([1-9][0-9]*) (h|days)", re.ASCII)

_T = TypeVar("_T")


class Voice(StrEnum):
    """Voice of a call. An AI voice is artificial (FCC 24-17)."""

    ARTIFICIAL = "artificial"
    HUMAN = "human"


class Table(StrEnum):
    """Table of a rule; CAMPAIGN marks hours that a campaign states itself."""

    HOURS = "hours"
    AUTOMATED = "automated"
    CAMPAIGN = "campaign"


class Checked(StrEnum):
    """Way in which a rule was read; a disputed rule has the stricter reading."""

    PRIMARY = "primary"
    QUOTED = "quoted"
    DISPUTED = "disputed"


class Holidays(StrEnum):
    """Public holidays on which a region is closed; `state` also means a province."""

    STATE = "state"
    FEDERAL = "federal"
    NATIONAL = "national"


@dataclass(frozen=True, slots=True)
class Cap:
    """Maximum number of calls to a person within a rolling period.

    Attributes:
        calls: Calls allowed.
        per: Length of the period.
    """

    calls: int
    per: timedelta

    def __str__(self) -> str:
        hours = self.per // timedelta(hours=1)
        period = f"{hours} h" if hours <= 24 else f"{hours // 24} days"
        return f"{self.calls} per {period}"


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent that a region asks for.

    Attributes:
        voice: Voice that needs consent; None means any.
        since: First local day on which consent is needed.
        text: Kind of consent.
    """

    voice: Voice | None
    since: date
    text: str

    def binds(self, voice: Voice, day: date) -> bool:
        """Return True if a call in a voice needs this consent on a local day."""
        return self.since <= day and self.voice in (None, voice)


@dataclass(frozen=True, slots=True)
class Rule:
    """Row of a table: calling rule of a region, until a later row of that region and table.

    Attributes:
        region: ISO 3166 code of a country ("FR") or subdivision ("US-AL").
        effective: First local day in force; `date.min` means always.
        table: Table of the rule.
        week: Open time spans by weekday.
        citation: The law, or the reason that a campaign gives.
        checked: Way in which the rule was read; None for a campaign's own hours.
        holidays: Closed days.
        cap: Cap by law; None means none.
        consent: Consent by law; None means none.
        scope: People and calls that the rule covers.
        clock: IANA zone of the hours; None means the called party's local time.
    """

    region: str
    effective: date
    table: Table
    week: Week
    citation: str
    checked: Checked | None
    holidays: frozenset[Holidays] = frozenset()
    cap: Cap | None = None
    consent: Consent | None = None
    scope: str = ""
    clock: str | None = None

    def hours_of(self, day: date) -> Spans:
        """Return the spans of a day's weekday; holidays are not considered."""
        return self.week.days[day.weekday()]


RulesByRegion = Mapping[str, tuple[Rule, ...]]
"""Rules of each region, the latest first."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Both tables, by region.

    Attributes:
        hours: Rules for any voice.
        automated: Further rules for artificial voices.
    """

    hours: RulesByRegion
    automated: RulesByRegion


@lru_cache(maxsize=1)
def load_tables() -> Tables:
    """Return the tables of this package."""
    folder = files("jobs.rules.hours").joinpath("data")
    return Tables(
        hours=read_table(Table.HOURS, folder.joinpath("hours.csv").read_text("utf-8")),
        automated=read_table(Table.AUTOMATED, folder.joinpath("automated.csv").read_text("utf-8")),
    )


def read_table(table: Table, text: str) -> RulesByRegion:
    """Return the rules in the text of a CSV file.

    Raises:
        ValidationError: A heading or a cell is malformed, a row is a duplicate, or a subdivision
            has hours while its country has none. The message names the line.
    """
    reader = csv.DictReader(text.splitlines(), strict=True)
    header = _AUTOMATED_HEADER if table is Table.AUTOMATED else _HOURS_HEADER
    if ",".join(reader.fieldnames or ()) != header:
        raise ValidationError(f"{table}.csv: the columns must be {header}")
    found = by_region(_read_rules(table, reader))
    if table is Table.HOURS:
        for region in found:
            if country_of(region) not in found:
                raise ValidationError(f"{table}.csv: {region} needs a row of its country")
    return found


def by_region(rules: Iterable[Rule]) -> RulesByRegion:
    """Return the rules of each region, the latest first."""
    found: dict[str, tuple[Rule, ...]] = {}
    for rule in sorted(rules, key=lambda rule: rule.effective, reverse=True):
        found[rule.region] = (*found.get(rule.region, ()), rule)
    return MappingProxyType(found)


def country_of(region: str) -> str:
    """Return the country of a region: "US" for "US-AL" and for "US"."""
    return region.partition("-")[0]


def _read_rules(table: Table, reader: "csv.DictReader[str]") -> Iterator[Rule]:
    seen: set[tuple[str, date]] = set()
    for row in reader:
        try:
            rule = _read_rule(table, row)
            if (rule.region, rule.effective) in seen:
                raise ValueError(f"{rule.region} has two rows for one date")
        except (ValueError, SpanError) as error:
            reason = str(error).splitlines()[0]
            raise ValidationError(f"{table}.csv line {reader.line_num}: {reason}") from error
        seen.add((rule.region, rule.effective))
        yield rule


def _read_rule(table: Table, row: dict[str, str]) -> Rule:
    # DictReader files surplus cells under None, and fills missing cells with None.
    if None in row or None in row.values():
        raise ValueError("the row must have a cell for each column")
    region = row["region"]
    if not _REGION.fullmatch(region):
        raise ValueError(f"{region!r} is not a region such as FR or US-AL")
    if not row["citation"]:
        raise ValueError("the citation is missing")
    return Rule(
        region=region,
        effective=_optional(row["effective"], date.fromisoformat) or date.min,
        table=table,
        week=week(weekdays=row["weekdays"], saturday=row["saturday"], sunday=row["sunday"]),
        citation=row["citation"],
        checked=Checked(row["checked"]),
        holidays=frozenset(map(Holidays, filter(None, row.get("holidays", "").split("+")))),
        cap=_optional(row["cap"], _read_cap),
        consent=_read_consent(row),
        scope=row.get("scope", row.get("note", "")),
        clock=FIXED_CLOCKS.get(region) if table is Table.HOURS else None,
    )


def _read_cap(text: str) -> Cap:
    match = _CAP.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a cap such as 3 per 24 h or 4 per 30 days")
    number = int(match[2])
    return Cap(int(match[1]), timedelta(hours=number) if match[3] == "h" else timedelta(number))


def _read_consent(row: dict[str, str]) -> Consent | None:
    voice, since, text = (row.get(f"consent{part}", "") for part in ("_for", "_from", ""))
    if not voice:
        if since or text:
            raise ValueError("consent needs the voice in consent_for")
        return None
    return Consent(
        voice=None if voice == "any" else Voice(voice),
        since=_optional(since, date.fromisoformat) or date.min,
        text=text or "consent",
    )


def _optional(text: str, read: Callable[[str], _T]) -> _T | None:
    return read(text) if text else None
