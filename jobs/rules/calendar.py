"""Time spans within a local day, and holidays, in the notation of calling rules."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

_SPAN: Final = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)
_END_OF_DAY: Final = 24 * 60


class Span(NamedTuple):
    """Half-open time span [opens, closes) of a local day.

    Attributes:
        opens: Minutes since midnight, 0 to 1439.
        closes: Minutes since midnight, 1 to 1440 (end of the day).
    """

    opens: int
    closes: int

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Return the span that a text such as "08:00-21:00" describes.

        Raises:
            ValueError: The text has another form, or the span is empty or ends after 24:00.
        """
        match = _SPAN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a time span such as 08:00-21:00")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        span = cls(hour * 60 + minute, end_hour * 60 + end_minute)
        if not span.opens < span.closes <= _END_OF_DAY:
            raise ValueError(f"{text!r} must end after it begins and by 24:00")
        return span

    def __str__(self) -> str:
        (hour, minute), (end_hour, end_minute) = divmod(self.opens, 60), divmod(self.closes, 60)
        return f"{hour:02}:{minute:02}-{end_hour:02}:{end_minute:02}"


def _parse(value: object) -> object:
    return Span.parse(value) if isinstance(value, str) else value


def _check_order(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    if any(earlier.closes > later.opens for earlier, later in pairwise(spans)):
        raise ValueError("the time spans of a day must be in order and must not overlap")
    return spans


_SpanAsText = Annotated[Span, BeforeValidator(_parse), PlainSerializer(str)]
Spans = Annotated[tuple[_SpanAsText, ...], AfterValidator(_check_order)]
"""Open time spans of a day, in order; in JSON a list such as ["10:00-13:00", "14:00-20:00"]."""


def spans(text: str) -> tuple[Span, ...]:
    """Return the spans in a text such as "10:00-13:00 14:00-20:00".

    Raises:
        ValueError: One of the spans is malformed.
    """
    return tuple(Span.parse(part) for part in text.split())


_HOLIDAY: Final = re.compile(r"easter[+-][0-9]{1,3}|([0-9]{4}-)?[0-9]{2}-[0-9]{2}", re.ASCII)
_LEAP_YEAR: Final = "2000-"


def _check_holiday(text: str) -> str:
    if _HOLIDAY.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a holiday such as 12-25, 2026-12-25 or easter+1")
    if not text.startswith("easter"):
        date.fromisoformat(text if len(text) > len("12-25") else _LEAP_YEAR + text)
    return text


Holiday = Annotated[str, AfterValidator(_check_holiday)]
"""Yearly date ("12-25"), single date ("2026-12-25"), or offset from Easter in days ("easter+1")."""


def is_holiday(holidays: Sequence[Holiday], day: date) -> bool:
    """Return True if `day` is a holiday."""
    if not holidays:
        return False
    iso = day.isoformat()
    easter_offset = f"easter{(day - easter(day.year)).days:+d}"
    return any(holiday in (iso, iso[len(_LEAP_YEAR) :], easter_offset) for holiday in holidays)


def easter(year: int) -> date:
    """Return Easter Sunday in the Gregorian calendar, by Oudin's algorithm (1940)."""
    century = year // 100
    golden = year % 19
    epact = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    epact -= (epact // 28) * (1 - (29 // (epact + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + epact + 2 - century + century // 4) % 7
    march = epact - weekday
    return date(year, 3, 1) + timedelta(days=march + 27)
