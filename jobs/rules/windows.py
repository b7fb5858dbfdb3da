"""Calling windows: the local hours in which a region may be called, as data.

The default is 47 CFR 64.1200(c)(1), 8 a.m. to 9 p.m. in the called party's local time, read as the
half-open [08:00, 21:00). Where a zone is unknown or no moment suits, nothing is ever open.
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
from jobs.rules.localtime import by_offset
from jobs.rules.zones import zone

HORIZON: Final = timedelta(days=400)
"""What does not open within this time counts as never open."""
_DAY: Final = timedelta(days=1)


class Week(Frozen):
    """The open spans of each weekday, such as "08:00-21:00"; a day without any is closed."""

    monday: Spans = ()
    tuesday: Spans = ()
    wednesday: Spans = ()
    thursday: Spans = ()
    friday: Spans = ()
    saturday: Spans = ()
    sunday: Spans = ()

    @cached_property
    def days(self) -> tuple[Spans, ...]:
        """From Monday."""
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
    """A week whose days from Monday to Friday are alike; spans are separated by spaces."""
    alike = spans(weekdays)
    return Week(
        monday=alike,
        tuesday=alike,
        wednesday=alike,
        thursday=alike,
        friday=alike,
        saturday=spans(saturday),
        sunday=spans(sunday),
    )


class WindowRule(Frozen):
    """The week of a region, from a local day on, until a later rule of the same region.

    region: ISO 3166, a country ("FR") or a part of it ("US-AL"); None is everywhere.
    """

    region: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = None
    effective: date = date.min
    week: Week
    holidays: tuple[Holiday, ...] = ()
    """Closed days."""


class WindowRules(Frozen):
    """Rules of which, on a local day, the one of the narrowest region that is in force holds."""

    rules: tuple[WindowRule, ...]

    @cached_property
    def schedule(self) -> "_Schedule":
        """Equal rules share one, whatever they were read from."""
        return _schedule(self)  # pyright: ignore[reportArgumentType]  # frozen by model_config


_ROUND_THE_CLOCK: Final = "00:00-24:00"
_FEDERAL: Final = "08:00-21:00"
_ALABAMA: Final = "08:00-20:00"
_FRANCE: Final = "10:00-13:00 14:00-20:00"

DEFAULT_WINDOWS: Final = WindowRules(
    rules=(
        WindowRule(week=week(weekdays=_FEDERAL, saturday=_FEDERAL, sunday=_FEDERAL)),
        WindowRule(region="US-AL", week=week(weekdays=_ALABAMA, saturday=_ALABAMA)),
        # Décret n° 2022-1313; the holidays are those of article L3133-1 of the Code du travail.
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
"""For a campaign that is not bound to hours. A lead's zone must be known all the same."""


def is_open(rules: WindowRules, zones: Sequence[str], region: str | None, at: datetime) -> bool:
    """Whether all of `zones` are in their calling window at `at`; False where none is known.

    region: ISO 3166, of the called party. A bad zone name is never open.
    """
    try:
        known = [zone(name) for name in zones]
    except ValidationError:
        return False
    schedule = rules.schedule
    return bool(known) and all(schedule.is_open(place, region, at) for place in known)


def next_open(
    rules: WindowRules, zones: Sequence[str], region: str | None, at: datetime
) -> datetime | None:
    """The first moment from `at` on at which `is_open`, in UTC; None when there is none."""
    try:
        known = [zone(name) for name in zones]
    except ValidationError:
        return None
    if not known:
        return None
    schedule = rules.schedule
    moment = at.astimezone(UTC)
    end = moment + HORIZON
    while not all(schedule.is_open(place, region, moment) for place in known):
        opens = [schedule.next_open(place, region, moment, end) for place in known]
        if None in opens:
            return None
        moment = max(one for one in opens if one is not None)
    return moment


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """The window of one called party."""

    rules: WindowRules
    zones: Sequence[str]
    region: str | None = None

    def is_open(self, at: datetime) -> bool:
        return is_open(self.rules, self.zones, self.region, at)

    def next_open(self, at: datetime) -> datetime | None:
        return next_open(self.rules, self.zones, self.region, at)

    def local(self, at: datetime) -> datetime:
        """`at` in the first of the zones. Raises ValidationError where there is none."""
        if not self.zones:
            raise ValidationError("the zone is unknown, so there is no local time")
        return at.astimezone(zone(self.zones[0]))


@dataclass(frozen=True, eq=False)
class _Schedule:
    """Rules made ready for questions."""

    by_region: dict[str | None, tuple[WindowRule, ...]]
    """The latest first."""

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
            for start, stop, offset in by_offset(place, at, until):
                opens = self._first_open(region, start + offset, stop + offset)
                if opens is not None:
                    return opens - offset
            at = until
        return None

    def _first_open(self, region: str | None, start: datetime, stop: datetime) -> datetime | None:
        """The first open moment in [start, stop), which are local times of one offset."""
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        while midnight < stop:
            for opens, closes in _spans_of(self, region, midnight.date()):
                first = max(start, midnight + timedelta(minutes=opens))
                if first < min(stop, midnight + timedelta(minutes=closes)):
                    return first
            midnight += _DAY
        return None

    def in_force(self, region: str | None, day: date) -> WindowRule | None:
        """The rule of the narrowest region that has one on this day."""
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
