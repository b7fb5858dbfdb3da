"""Stretches of time in which a zone keeps one offset, and where its days begin.

Wall-clock arithmetic goes wrong at a change of the clocks; within such a stretch it does not.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_SECOND: Final = timedelta(seconds=1)


def by_offset(
    place: ZoneInfo, start: datetime, stop: datetime
) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """[start, stop) cut where the zone's offset changes, with the offset of each part.

    The two are in UTC and at most some days apart: no zone changes its offset and back within so
    short a time.
    """
    before, after = _offset(place, start), _offset(place, stop)
    if before == after:
        yield start, stop, before
        return
    change = _change(place, start, stop, before)
    yield start, change, before
    yield change, stop, after


def _change(place: ZoneInfo, start: datetime, stop: datetime, before: timedelta) -> datetime:
    """The first whole second in (start, stop] at which the offset is not `before`."""
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
    """The first moment, in UTC, at which the zone's date is `day`, or later if it skips `day`."""
    midnight = datetime.combine(day, time(), UTC)
    # Offsets lie between -12 and +14 hours, those of the past between -16 and +16.
    margin = timedelta(hours=17)
    return next(
        max(start, midnight - offset)
        for start, stop, offset in by_offset(place, midnight - margin, midnight + margin)
        if midnight < stop + offset
    )
