"""Public holidays on which a region is closed."""

from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import holidays

from jobs.rules.calendar import Spans
from jobs.rules.hours.exceptions import (
    CLOSED_ON_HOLIDAYS_OF_PARTS,
    EXTRA_HOLIDAYS,
    SATURDAY_HOURS_ON_EVES,
)
from jobs.rules.hours.tables import Holidays, Rule, country_of
from jobs.rules.hours.weekdays import SATURDAY, intersect_spans

_LANGUAGE: Final = "en_US"
_ANY_YEAR: Final = 2026


def holiday_name(rule: Rule, day: date) -> str | None:
    """Return the name of the holiday that closes a local day under a rule; None if none does."""
    if not rule.holidays:
        return None
    return _holidays_of_year(rule.region, rule.holidays, day.year).get(day)


def open_spans(rule: Rule, day: date) -> Spans:
    """Return the open time spans of a local day under a rule."""
    if holiday_name(rule, day) is not None:
        return ()
    hours = rule.hours_of(day)
    if is_eve(rule, day):
        return intersect_spans(hours, rule.week.days[SATURDAY])
    return hours


def is_eve(rule: Rule, day: date) -> bool:
    """Return True if a holiday follows a local day and shortens it."""
    return (
        rule.region in SATURDAY_HOURS_ON_EVES
        and holiday_name(rule, day + timedelta(days=1)) is not None
    )


def check_holidays(region: str, kinds: frozenset[Holidays]) -> None:
    """Check that the holidays of a region are known.

    Raises:
        ValueError: The `holidays` package has no such country or subdivision.
    """
    if Holidays.STATE in kinds and region == country_of(region):
        raise ValueError(f"{region} is a country: its holidays are national, not of a state")
    try:
        _holidays_of_year(region, kinds, _ANY_YEAR)
    except NotImplementedError as error:
        raise ValueError(f"holidays of {region} are unknown: name the region without") from error


@lru_cache(maxsize=1024)
def _holidays_of_year(region: str, kinds: frozenset[Holidays], year: int) -> Mapping[date, str]:
    country = country_of(region)
    parts: set[str | None] = set()
    if Holidays.STATE in kinds:
        parts.add(region.removeprefix(f"{country}-"))
    if kinds & {Holidays.FEDERAL, Holidays.NATIONAL}:
        parts.add(None)
        if country in CLOSED_ON_HOLIDAYS_OF_PARTS:
            parts |= set(holidays.country_holidays(country).subdivisions)
    found: dict[date, str] = {}
    # A name of the whole country wins over a name of one part.
    for part in sorted(parts, key=lambda part: (part is not None, part or "")):
        for day, name in holidays.country_holidays(
            country, subdiv=part, years=year, language=_LANGUAGE
        ).items():
            found.setdefault(day, name)
    for month, day_of_month, name in EXTRA_HOLIDAYS.get(region, ()):
        found.setdefault(date(year, month, day_of_month), name)
    return MappingProxyType(found)
