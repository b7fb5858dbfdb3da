"""What is due around changes of the clocks, counted minute by minute, without the code under test.

The changes are by a whole hour; the one place with another, Lord Howe Island, is left out.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine import Cron, cron

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MARK = 123_456
"""Microseconds: where arq puts a slot within its second."""

zones = st.sampled_from(
    [
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Africa/Casablanca",  # for Ramadan
        "America/Santiago",  # at midnight
    ]
)
minutes = st.sets(st.integers(0, 59), min_size=1, max_size=4)
hours = st.sets(st.integers(0, 23), min_size=1, max_size=4) | st.sets(st.integers(0, 3), min_size=1)
years = st.integers(2024, 2026)
changes = st.tuples(zones, years, st.integers(0, 1))


@cache
def changes_of(zone: str, year: int) -> list[datetime]:
    """The first minutes, in UTC, with another offset than the one before."""
    info, found = ZoneInfo(zone), []
    moment = datetime(year, 1, 1, tzinfo=UTC)
    while moment.year == year:
        following = moment + timedelta(minutes=30)
        if moment.astimezone(info).utcoffset() != following.astimezone(info).utcoffset():
            found.append(following)
        moment = following
    return found


def around(change: tuple[str, int, int]) -> tuple[ZoneInfo, datetime, datetime]:
    zone, year, which = change
    found = changes_of(zone, year)
    moment = found[which % len(found)]
    return ZoneInfo(zone), moment - DAY, moment + DAY


def due(schedule: Cron, start: datetime, end: datetime) -> list[datetime]:
    """What the schedule says: each slot after the one before, as a worker asks for them."""

    def slots() -> Iterator[datetime]:
        moment = start
        while True:
            moment = schedule.next_fire_time(moment, UTC)
            yield moment

    return list(takewhile(lambda slot: slot <= end, slots()))


@cache
def minutes_between(start: datetime, end: datetime, zone: ZoneInfo) -> dict[datetime, datetime]:
    """Every minute, in UTC, and what the clocks of the place show."""
    count = (end - start) // MINUTE
    real = [start + number * MINUTE for number in range(1, count)]
    return {one: one.astimezone(zone) for one in real}


def marked(slots: set[datetime]) -> list[datetime]:
    return [slot + timedelta(microseconds=MARK) for slot in sorted(slots)]


@given(changes, minutes)
def test_what_runs_every_so_often_runs_in_each_real_minute_that_the_clock_shows(
    change: tuple[str, int, int], chosen: set[int]
) -> None:
    zone, start, end = around(change)
    schedule = cron("a.b", minute=chosen, timezone=zone.key)
    real_minutes = minutes_between(start, end, zone)
    assert due(schedule, start, end) == marked(
        {real for real, shown in real_minutes.items() if shown.minute in chosen}
    )


@given(changes, minutes, hours)
def test_what_runs_at_a_time_of_day_runs_once_a_day(
    change: tuple[str, int, int], chosen: set[int], at: set[int]
) -> None:
    zone, start, end = around(change)
    schedule = cron("a.b", minute=chosen, hour=at, timezone=zone.key)
    days = {shown.date() for shown in minutes_between(start, end, zone).values()}
    slots = {shown_first(zone, day, h, m) for day in days for h in at for m in chosen}
    assert due(schedule, start, end) == marked(slots & minutes_between(start, end, zone).keys())


def shown_first(zone: ZoneInfo, day: date, hour: int, minute: int) -> datetime:
    """The first minute at which the clocks of a place show this time, or a later one where they
    skip it."""
    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    skipped_to = [one for one in changes_of(zone.key, day.year) if abs(one - moment) < 2 * DAY]
    return skipped_to[0]


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
@given(changes, st.sampled_from(["*/20 * * * *", "30 2 * * *", "0 0 * * *"]))
def test_expressions_give_each_slot_once_whatever_becomes_of_missed_ones(
    missed: str, change: tuple[str, int, int], expression: str
) -> None:
    zone, start, end = around(change)
    schedule = cron("a.b", expression=expression, timezone=zone.key, missed=missed)  # type: ignore[arg-type]  # a Literal
    slots = due(schedule, start, end)
    assert slots == sorted(set(slots))
    assert len({schedule.job_id_at(slot) for slot in slots}) == len(slots)
    if expression.startswith("*"):
        real_minutes = minutes_between(start, end, zone)
        assert len(slots) == sum(shown.minute % 20 == 0 for shown in real_minutes.values())
