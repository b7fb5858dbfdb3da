"""Fire times around daylight saving changes, against an independent count minute by minute.

All changes are by a whole hour; Lord Howe Island, with half an hour, is left out.
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
"""Microsecond of arq's fire times."""

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
    """Return the moments, in UTC, at which the offset of the zone changes."""
    info, moments = ZoneInfo(zone), []
    moment = datetime(year, 1, 1, tzinfo=UTC)
    while moment.year == year:
        following = moment + timedelta(minutes=30)
        if moment.astimezone(info).utcoffset() != following.astimezone(info).utcoffset():
            moments.append(following)
        moment = following
    return moments


def around(change: tuple[str, int, int]) -> tuple[ZoneInfo, datetime, datetime]:
    zone, year, index = change
    moments = changes_of(zone, year)
    moment = moments[index % len(moments)]
    return ZoneInfo(zone), moment - DAY, moment + DAY


def due(schedule: Cron, start: datetime, end: datetime) -> list[datetime]:
    """Return the fire times, each computed from the one before, as a worker does."""

    def fire_times() -> Iterator[datetime]:
        moment = start
        while True:
            moment = schedule.next_fire_time(moment, UTC)
            yield moment

    return list(takewhile(lambda fire_time: fire_time <= end, fire_times()))


@cache
def minutes_between(start: datetime, end: datetime, zone: ZoneInfo) -> dict[datetime, datetime]:
    """Map every minute, in UTC, to the local time."""
    count = (end - start) // MINUTE
    real = [start + number * MINUTE for number in range(1, count)]
    return {minute: minute.astimezone(zone) for minute in real}


def marked(fire_times: set[datetime]) -> list[datetime]:
    return [fire_time + timedelta(microseconds=MARK) for fire_time in sorted(fire_times)]


@given(changes, minutes)
def test_interval_schedule_runs_in_each_matching_real_minute(
    change: tuple[str, int, int], chosen: set[int]
) -> None:
    zone, start, end = around(change)
    schedule = cron("a.b", minute=chosen, timezone=zone.key)
    real_minutes = minutes_between(start, end, zone)
    assert due(schedule, start, end) == marked(
        {real for real, shown in real_minutes.items() if shown.minute in chosen}
    )


@given(changes, minutes, hours)
def test_time_of_day_schedule_runs_once_per_day(
    change: tuple[str, int, int], chosen: set[int], at: set[int]
) -> None:
    zone, start, end = around(change)
    schedule = cron("a.b", minute=chosen, hour=at, timezone=zone.key)
    days = {shown.date() for shown in minutes_between(start, end, zone).values()}
    fire_times = {first_shown(zone, day, h, m) for day in days for h in at for m in chosen}
    assert due(schedule, start, end) == marked(
        fire_times & minutes_between(start, end, zone).keys()
    )


def first_shown(zone: ZoneInfo, day: date, hour: int, minute: int) -> datetime:
    """Return the first minute with this local time, or the end of the gap if it is skipped."""
    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    return next(end for end in changes_of(zone.key, day.year) if abs(end - moment) < 2 * DAY)


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
@given(changes, st.sampled_from(["*/20 * * * *", "30 2 * * *", "0 0 * * *"]))
def test_expression_yields_each_fire_time_once(
    missed: str, change: tuple[str, int, int], expression: str
) -> None:
    zone, start, end = around(change)
    schedule = cron("a.b", expression=expression, timezone=zone.key, missed=missed)  # type: ignore[arg-type]  # a Literal
    fire_times = due(schedule, start, end)
    assert fire_times == sorted(set(fire_times))
    assert len({schedule.job_id_at(fire_time) for fire_time in fire_times}) == len(fire_times)
    if expression.startswith("*"):
        real_minutes = minutes_between(start, end, zone)
        assert len(fire_times) == sum(shown.minute % 20 == 0 for shown in real_minutes.values())
