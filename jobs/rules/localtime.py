"""Intervals of constant UTC offset, and the start of a local day.

Wall-clock arithmetic is wrong across a clock change; within such an interval it is exact.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_SECOND: Final = timedelta(seconds=1)


def split_by_offset(
    place: ZoneInfo, start: datetime, stop: datetime
) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Split the interval [start, stop) where the UTC offset of a zone changes.

    Args:
        place: The time zone.
        start: Start of the interval, in UTC.
        stop: End of the interval, in UTC, at most a few days after `start`: within that time no
            zone changes its offset and back.

    Yields:
        The start, end and UTC offset of one or two parts, in order.
    """
    before, after = _offset(place, start), _offset(place, stop)
    if before == after:
        yield start, stop, before
        return
    change = _change(place, start, stop, before)
    yield start, change, before
    yield change, stop, after


def _change(place: ZoneInfo, start: datetime, stop: datetime, before: timedelta) -> datetime:
    """Return the first whole second in (start, stop] with another offset than `before`."""
    low = start.replace(microsecond=0)
    seconds = int((stop - low).total_seconds()) + 1
    old, new = 0, seconds
    while new - old > 1:
        middle = (old + new) // 2
        if _offset(place, low + middle * _SECOND) == before:
            old = middle
        else:
            new = middle
    return low + new * _SECOND


def _offset(place: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(place).utcoffset() or timedelta()


def day_start(day: date, place: ZoneInfo) -> datetime:
    """Return the first moment of a local day, in UTC.

    If the zone skips the day, the result is the first moment after it.
    """
    midnight = datetime.combine(day, time(), UTC)
    # Offsets are between -12 and +14 hours today, and between -16 and +16 hours in the past.
    margin = timedelta(hours=17)
    return next(
        max(start, midnight - offset)
        for start, stop, offset in split_by_offset(place, midnight - margin, midnight + margin)
        if midnight < stop + offset
    )
