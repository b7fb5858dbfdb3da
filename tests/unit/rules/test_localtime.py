"""Local days of every length, and intervals of constant offset."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ValidationError
from jobs.rules.localtime import split_by_offset
from jobs.rules.metrics import BUCKET, bucket_of, local_day_bounds
from jobs.rules.zones import ZONES, load_zone

days = st.dates(date(1975, 1, 1), date(2036, 12, 31))
zones = st.sampled_from(sorted(ZONES))
moments = st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # Hypothesis adds the zone


@pytest.mark.parametrize(
    ("day", "name", "hours"),
    [
        ("2026-03-08", "America/New_York", 23),
        ("2026-11-01", "America/New_York", 25),
        ("2026-11-23", "America/New_York", 24),
        ("2026-10-04", "Australia/Lord_Howe", 23.5),
        ("2026-04-05", "Australia/Lord_Howe", 24.5),
        ("2026-03-29", "Asia/Beirut", 23),  # midnight itself is skipped
        ("2011-12-30", "Pacific/Apia", 0),  # the whole day is skipped
    ],
)
def test_local_day_has_the_right_length(day: str, name: str, hours: float) -> None:
    start, end = local_day_bounds(date.fromisoformat(day), name)
    assert end - start == timedelta(hours=hours)


def test_local_day_bounds_are_in_utc() -> None:
    start, end = local_day_bounds(date(2026, 7, 1), "Asia/Kolkata")
    assert start == datetime(2026, 6, 30, 18, 30, tzinfo=UTC)
    assert end == datetime(2026, 7, 1, 18, 30, tzinfo=UTC)


@given(days, zones)
def test_local_day_ends_at_the_start_of_the_next_day(day: date, name: str) -> None:
    start, end = local_day_bounds(day, name)
    assert timedelta() <= end - start <= timedelta(hours=26)
    assert end == local_day_bounds(day + timedelta(days=1), name)[0]


@given(days, zones, st.integers(0, 999))
def test_local_day_contains_the_moments_of_its_date(day: date, name: str, thousandths: int) -> None:
    start, end = local_day_bounds(day, name)
    moment = start + thousandths * (end - start) / 1000
    wall = moment.astimezone(load_zone(name))
    # A clock change just after midnight may repeat the last minutes of the day before.
    assert start == end or wall.date() == day or (wall + timedelta(hours=2)).date() == day
    assert (start - timedelta(microseconds=1)).astimezone(load_zone(name)).date() < day


def test_invalid_zone_is_rejected() -> None:
    with pytest.raises(ValidationError, match="Mars/Phobos"):
        local_day_bounds(date(2026, 1, 1), "Mars/Phobos")


@given(zones, moments, st.timedeltas(timedelta(microseconds=1), timedelta(days=1)))
def test_intervals_of_constant_offset_cover_the_whole_interval(
    name: str, start: datetime, length: timedelta
) -> None:
    place = load_zone(name)
    parts = list(split_by_offset(place, start, start + length))
    assert parts[0][0] == start
    assert parts[-1][1] == start + length
    for begin, end, offset in parts:
        assert begin < end
        for moment in (begin, end - timedelta(microseconds=1)):
            assert moment.astimezone(place).utcoffset() == offset
    for (_, end, _), (begin, _, _) in pairwise(parts):
        assert begin == end


@given(moments, zones)
def test_bucket_is_fifteen_minutes_of_utc(moment: datetime, name: str) -> None:
    bucket = bucket_of(moment.astimezone(load_zone(name)))
    assert bucket.tzinfo is UTC
    assert bucket <= moment < bucket + BUCKET
    assert (bucket.minute % 15, bucket.second, bucket.microsecond) == (0, 0, 0)
    assert bucket_of(bucket) == bucket
