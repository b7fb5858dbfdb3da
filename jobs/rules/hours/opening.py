"""Times at which a place may be called.

Local days are cut where the UTC offset changes, so days of 23, 24 and 25 hours are exact.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from jobs.errors import ValidationError
from jobs.rules.calendar import Spans
from jobs.rules.hours.place import Place
from jobs.rules.hours.policy import HoursPolicy
from jobs.rules.hours.readings import Candidate
from jobs.rules.hours.reasons import why_closed
from jobs.rules.hours.rulebook import Rulebook, rulebook
from jobs.rules.hours.weekdays import contains
from jobs.rules.localtime import split_by_offset
from jobs.rules.zones import load_zone

HORIZON: Final = timedelta(days=400)
"""A place that does not open within this time counts as never open."""
_DAY: Final = timedelta(days=1)


class Window(NamedTuple):
    """Half-open interval [opens, closes) in which a place may be called, in UTC."""

    opens: datetime
    closes: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """Permission to call a place at a time, as far as hours decide.

    Attributes:
        open: True if every candidate is open.
        reasons: Reasons for being closed, one per closed candidate, without personal data.
    """

    open: bool
    reasons: tuple[str, ...] = ()


def is_open(place: Place, at: datetime, policy: HoursPolicy) -> Verdict:
    """Return the verdict on a time.

    Args:
        place: Place of the lead.
        at: The time, timezone-aware.
        policy: Voice and hours of the campaign.

    Raises:
        ValidationError: The time has no time zone.
    """
    _check_aware(at)
    if place.obstacle is not None:
        return Verdict(open=False, reasons=(place.obstacle,))
    book = rulebook(policy)
    closed = [one for one in place.candidates if not _is_open_at(book, one, at)]
    reasons = (why_closed(book, candidate, at) for candidate in closed)
    return Verdict(open=not closed, reasons=tuple(dict.fromkeys(reasons)))


def open_windows(
    place: Place, start: datetime, stop: datetime, policy: HoursPolicy
) -> Iterator[Window]:
    """Yield the windows of a place within [start, stop), in order.

    Args:
        place: Place of the lead.
        start: Start of the interval, timezone-aware.
        stop: End of the interval, timezone-aware.
        policy: Voice and hours of the campaign.

    Raises:
        ValidationError: A time has no time zone.
    """
    _check_aware(start)
    _check_aware(stop)
    return _merge(_pieces(place, start.astimezone(UTC), stop.astimezone(UTC), policy))


def next_openings(
    place: Place, at: datetime, policy: HoursPolicy, n: int = 3
) -> tuple[Window, ...]:
    """Return the next windows of a place.

    Args:
        place: Place of the lead.
        at: Start of the search, timezone-aware. A window that is open then opens at this time.
        policy: Voice and hours of the campaign.
        n: Number of windows.

    Returns:
        At most `n` windows, fewer if the place does not open again within HORIZON.

    Raises:
        ValidationError: The time has no time zone.
    """
    _check_aware(at)
    return tuple(islice(open_windows(place, at, at.astimezone(UTC) + HORIZON, policy), n))


def next_open(place: Place, at: datetime, policy: HoursPolicy) -> datetime | None:
    """Return the first time from `at` on at which a place is open, in UTC.

    Args:
        place: Place of the lead.
        at: Start of the search, timezone-aware.
        policy: Voice and hours of the campaign.

    Returns:
        The time; None if the place does not open within HORIZON.

    Raises:
        ValidationError: The time has no time zone.
    """
    _check_aware(at)
    start = at.astimezone(UTC)
    piece = next(_pieces(place, start, start + HORIZON, policy), None)
    return piece and piece.opens


def _check_aware(at: datetime) -> None:
    if at.tzinfo is None:
        raise ValidationError("the time has no time zone: pass an aware datetime")


def _is_open_at(book: Rulebook, candidate: Candidate, at: datetime) -> bool:
    daily = book.policy.daily_hours
    if daily is not None:
        local = at.astimezone(load_zone(candidate.zone))
        if not contains(daily.days[local.weekday()], local.time()):
            return False
    local = at.astimezone(load_zone(book.clock(candidate.region) or candidate.zone))
    return contains(book.spans(candidate.region, local.date()), local.time())


def _merge(pieces: Iterable[Window]) -> Iterator[Window]:
    """Yield the windows that adjacent pieces form."""
    waiting: Window | None = None
    for piece in pieces:
        if waiting is not None and waiting.closes == piece.opens:
            waiting = Window(waiting.opens, piece.closes)
            continue
        if waiting is not None:
            yield waiting
        waiting = piece
    if waiting is not None:
        yield waiting


def _pieces(place: Place, start: datetime, stop: datetime, policy: HoursPolicy) -> Iterator[Window]:
    """Yield the windows within [start, stop), cut at midnight UTC."""
    if place.obstacle is not None:
        return
    book = rulebook(policy)
    midnight = datetime.combine(start.date(), time(), UTC)
    while midnight < stop:
        for opens, closes in _windows_of_day(book, place.candidates, midnight):
            piece = Window(max(opens, start), min(closes, stop))
            if piece.opens < piece.closes:
                yield piece
        midnight += _DAY


@lru_cache(maxsize=32768)
def _windows_of_day(
    book: Rulebook, candidates: tuple[Candidate, ...], midnight: datetime
) -> tuple[Window, ...]:
    """Return the windows of all candidates within a day of UTC."""
    found: tuple[Window, ...] = (Window(midnight, midnight + _DAY),)
    for candidate in candidates:
        if not found:
            break
        found = _intersect(found, _windows_of_candidate(book, candidate, midnight))
    return found


@lru_cache(maxsize=32768)
def _windows_of_candidate(
    book: Rulebook, candidate: Candidate, midnight: datetime
) -> tuple[Window, ...]:
    clock = book.clock(candidate.region) or candidate.zone
    found = _windows_by(clock, midnight, lambda day: book.spans(candidate.region, day))
    if book.policy.daily_hours is None:
        return found
    days = book.policy.daily_hours.days
    return _intersect(found, _windows_by(candidate.zone, midnight, lambda day: days[day.weekday()]))


def _windows_by(
    clock: str, midnight: datetime, spans_of: Callable[[date], Spans]
) -> tuple[Window, ...]:
    """Return the windows within a day of UTC, given the open spans of local days."""
    parts = split_by_offset(load_zone(clock), midnight, midnight + _DAY)
    return tuple(window for part in parts for window in _windows_of_part(*part, spans_of))


def _windows_of_part(
    start: datetime, stop: datetime, offset: timedelta, spans_of: Callable[[date], Spans]
) -> Iterator[Window]:
    """Yield the windows within an interval with the same UTC offset."""
    local_start, local_stop = start + offset, stop + offset
    midnight = datetime.combine(local_start.date(), time(), UTC)
    while midnight < local_stop:
        for opens, closes in spans_of(midnight.date()):
            first = max(local_start, midnight + timedelta(minutes=opens))
            last = min(local_stop, midnight + timedelta(minutes=closes))
            if first < last:
                yield Window(first - offset, last - offset)
        midnight += _DAY


def _intersect(left: Iterable[Window], right: Iterable[Window]) -> tuple[Window, ...]:
    rights = tuple(right)
    both = (Window(max(a.opens, b.opens), min(a.closes, b.closes)) for a in left for b in rights)
    return tuple(window for window in both if window.opens < window.closes)
