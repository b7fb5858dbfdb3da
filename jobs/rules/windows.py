"""Calling windows: local hours in which a region may be called, as data.

The default is 47 CFR 64.1200(c)(1): 8 a.m. to 9 p.m. in the called party's local time, read as the
half-open interval [08:00, 21:00). If the time zone is unknown, no window ever opens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import Field

from jobs.errors import ValidationError
from jobs.rules.calendar import Holiday, Spans, is_holiday, spans
from jobs.rules.frozen import Frozen
from jobs.rules.localtime import split_by_offset
from jobs.rules.zones import load_zone

HORIZON: Final = timedelta(days=400)
"""A window that does not open within this time counts as never open."""
_DAY: Final = timedelta(days=1)


class Week(Frozen):
    """Open time spans of each weekday, such as "08:00-21:00"; a day without spans is closed."""

    monday: Spans = ()
    tuesday: Spans = ()
    wednesday: Spans = ()
    thursday: Spans = ()
    friday: Spans = ()
    saturday: Spans = ()
    sunday: Spans = ()

    @cached_property
    def days(self) -> tuple[Spans, ...]:
        """Spans of the seven days, from Monday on."""
        return (
            self.monday,
            self.tuesday,
            self.wednesday,
            self.thursday,
            self.friday,
            self.saturday,
            self.sunday,
        )


def week(*, weekdays: str = "", saturday: str = "", sunday: str = "") -> Week:
    """Return a week with the same spans from Monday to Friday.

    Args:
        weekdays: Spans from Monday to Friday, such as "10:00-13:00 14:00-20:00"; "" means closed.
        saturday: Spans of Saturday.
        sunday: Spans of Sunday.

    Raises:
        ValueError: A span is malformed, or the spans of a day overlap or are out of order.
    """
    weekday_spans = spans(weekdays)
    return Week(
        monday=weekday_spans,
        tuesday=weekday_spans,
        wednesday=weekday_spans,
        thursday=weekday_spans,
        friday=weekday_spans,
        saturday=spans(saturday),
        sunday=spans(sunday),
    )


class WindowRule(Frozen):
    """Calling hours of a region, in force until a later rule of the same region.

    Attributes:
        region: ISO 3166 code of a country ("FR") or subdivision ("US-AL"); None means everywhere.
        effective: First local day on which the rule is in force.
        week: Open time spans by weekday.
        holidays: Closed days.
    """

    region: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = None
    effective: date = date.min
    week: Week
    holidays: tuple[Holiday, ...] = ()


class WindowRules(Frozen):
    """Calling hours of all regions.

    On each local day, the rule in force for the narrowest region applies: subdivision before
    country before everywhere.
    """

    rules: tuple[WindowRule, ...]

    @cached_property
    def schedule(self) -> "_Schedule":
        """Lookup tables for the rules; equal rules share one."""
        return _schedule(self)  # pyright: ignore[reportArgumentType]  # frozen by model_config


_ROUND_THE_CLOCK: Final = "00:00-24:00"
_FEDERAL: Final = "08:00-21:00"
_ALABAMA: Final = "08:00-20:00"
_FRANCE: Final = "10:00-13:00 14:00-20:00"

DEFAULT_WINDOWS: Final = WindowRules(
    rules=(
        WindowRule(week=week(weekdays=_FEDERAL, saturday=_FEDERAL, sunday=_FEDERAL)),
        WindowRule(region="US-AL", week=week(weekdays=_ALABAMA, saturday=_ALABAMA)),
        # Décret n° 2022-1313; holidays: article L3133-1 of the Code du travail.
        WindowRule(
            region="FR",
            effective=date(2023, 3, 1),
            week=week(weekdays=_FRANCE),
            holidays=(
                "01-01",
                "easter+1",
                "05-01",
                "05-08",
                "easter+39",
                "easter+50",
                "07-14",
                "08-15",
                "11-01",
                "11-11",
                "12-25",
            ),
        ),
    )
)
ALWAYS_OPEN: Final = WindowRules(
    rules=(
        WindowRule(
            week=week(weekdays=_ROUND_THE_CLOCK, saturday=_ROUND_THE_CLOCK, sunday=_ROUND_THE_CLOCK)
        ),
    )
)
"""Windows of a campaign without legal hours; a lead's time zone must still be known."""


def is_open(rules: WindowRules, zones: Sequence[str], region: str | None, at: datetime) -> bool:
    """Return True if the calling window is open in every candidate time zone.

    Args:
        rules: Calling hours.
        zones: IANA names of the candidate zones of the called party. Without a zone, or with an
            invalid name, the window is closed.
        region: ISO 3166 region of the called party; None if unknown.
        at: Time to check, timezone-aware.
    """
    places = _load_zones(zones)
    schedule = rules.schedule
    return bool(places) and all(schedule.is_open(place, region, at) for place in places)


def next_open(
    rules: WindowRules, zones: Sequence[str], region: str | None, at: datetime
) -> datetime | None:
    """Return the first time from `at` on at which `is_open` is true.

    Args:
        rules: Calling hours.
        zones: IANA names of the candidate zones of the called party.
        region: ISO 3166 region of the called party; None if unknown.
        at: Earliest time, timezone-aware.

    Returns:
        A time in UTC; None if the window does not open within HORIZON.
    """
    places = _load_zones(zones)
    if not places:
        return None
    schedule = rules.schedule
    moment = at.astimezone(UTC)
    end = moment + HORIZON
    while not all(schedule.is_open(place, region, moment) for place in places):
        openings = [schedule.next_open(place, region, moment, end) for place in places]
        if None in openings:
            return None
        moment = max(opening for opening in openings if opening is not None)
    return moment


def _load_zones(names: Sequence[str]) -> list[ZoneInfo]:
    """Return the zones; none if one of the names is invalid."""
    try:
        return [load_zone(name) for name in names]
    except ValidationError:
        return []


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """Calling window of one called party.

    Attributes:
        rules: Calling hours.
        zones: IANA names of the candidate zones of the called party.
        region: ISO 3166 region of the called party; None if unknown.
    """

    rules: WindowRules
    zones: Sequence[str]
    region: str | None = None

    def is_open(self, at: datetime) -> bool:
        """Return True if the window is open at a time."""
        return is_open(self.rules, self.zones, self.region, at)

    def next_open(self, at: datetime) -> datetime | None:
        """Return the first open time from `at` on, in UTC; None if there is none."""
        return next_open(self.rules, self.zones, self.region, at)

    def local(self, at: datetime) -> datetime:
        """Return a time in the first candidate zone.

        Raises:
            ValidationError: The zone is unknown.
        """
        if not self.zones:
            raise ValidationError("no local time: the time zone is unknown")
        return at.astimezone(load_zone(self.zones[0]))


@dataclass(frozen=True, eq=False)
class _Schedule:
    """Rules by region, the latest first."""

    by_region: dict[str | None, tuple[WindowRule, ...]]

    def is_open(self, place: ZoneInfo, region: str | None, at: datetime) -> bool:
        local = at.astimezone(place)
        minute = local.hour * 60 + local.minute
        for opens, closes in _spans_of(self, region, local.date()):
            if opens <= minute < closes:
                return True
        return False

    def next_open(
        self, place: ZoneInfo, region: str | None, at: datetime, end: datetime
    ) -> datetime | None:
        while at < end:
            until = at + _DAY
            for start, stop, offset in split_by_offset(place, at, until):
                opens = self._first_open(region, start + offset, stop + offset)
                if opens is not None:
                    return opens - offset
            at = until
        return None

    def _first_open(self, region: str | None, start: datetime, stop: datetime) -> datetime | None:
        """Return the first open time in [start, stop), local times with the same UTC offset."""
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        while midnight < stop:
            for opens, closes in _spans_of(self, region, midnight.date()):
                first = max(start, midnight + timedelta(minutes=opens))
                if first < min(stop, midnight + timedelta(minutes=closes)):
                    return first
            midnight += _DAY
        return None

    def in_force(self, region: str | None, day: date) -> WindowRule | None:
        """Return the rule of the narrowest region with a rule in force on a local day."""
        country = region.partition("-")[0] if region else None
        for place in dict.fromkeys((region, country, None)):
            for rule in self.by_region.get(place, ()):
                if rule.effective <= day:
                    return rule
        return None


@lru_cache(maxsize=256)
def _schedule(rules: WindowRules) -> _Schedule:
    by_region: dict[str | None, tuple[WindowRule, ...]] = {}
    for rule in sorted(rules.rules, key=lambda rule: rule.effective, reverse=True):
        by_region[rule.region] = (*by_region.get(rule.region, ()), rule)
    return _Schedule(by_region)


@lru_cache(maxsize=8192)
def _spans_of(schedule: _Schedule, region: str | None, day: date) -> Spans:
    rule = schedule.in_force(region, day)
    if rule is None or is_holiday(rule.holidays, day):
        return ()
    return rule.week.days[day.weekday()]
