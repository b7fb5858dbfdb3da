"""Spans of a local day, and holidays, as they are written in rules."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

_SPAN: Final = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)
_END_OF_DAY: Final = 24 * 60


class Span(NamedTuple):
    """[opens, closes), in minutes of the local day; 1440 is its end."""

    opens: int
    closes: int

    @classmethod
    def parse(cls, text: str) -> "Span":
        """From "08:00-21:00". Raises ValueError."""
        match = _SPAN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not of the form 08:00-21:00")
        hour, minute, end_hour, end_minute = map(int, match.groups())
        span = cls(hour * 60 + minute, end_hour * 60 + end_minute)
        if not span.opens < span.closes <= _END_OF_DAY:
            raise ValueError(f"{text!r} does not end after it begins, or not by 24:00")
        return span

    def __str__(self) -> str:
        (hour, minute), (end_hour, end_minute) = divmod(self.opens, 60), divmod(self.closes, 60)
        return f"{hour:02}:{minute:02}-{end_hour:02}:{end_minute:02}"


def _parsed(value: object) -> object:
    return Span.parse(value) if isinstance(value, str) else value


def _in_order(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    if any(earlier.closes > later.opens for earlier, later in pairwise(spans)):
        raise ValueError("the spans of a day must be in order, and must not overlap")
    return spans


_SpanAsText = Annotated[Span, BeforeValidator(_parsed), PlainSerializer(str)]
Spans = Annotated[tuple[_SpanAsText, ...], AfterValidator(_in_order)]
"""The open spans of a day, in order; as JSON a list like ["10:00-13:00", "14:00-20:00"]."""


def spans(text: str) -> tuple[Span, ...]:
    """From "10:00-13:00 14:00-20:00". Raises ValueError."""
    return tuple(Span.parse(part) for part in text.split())


_HOLIDAY: Final = re.compile(r"easter[+-][0-9]{1,3}|([0-9]{4}-)?[0-9]{2}-[0-9]{2}", re.ASCII)
_LEAP_YEAR: Final = "2000-"


def _holiday(text: str) -> str:
    if _HOLIDAY.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not of the form 12-25, 2026-12-25 or easter+1")
    if not text.startswith("easter"):
        date.fromisoformat(text if len(text) > len("12-25") else _LEAP_YEAR + text)
    return text


Holiday = Annotated[str, AfterValidator(_holiday)]
"""A day of every year ("12-25"), of one ("2026-12-25"), or so many days off Easter ("easter+1")."""


def is_holiday(holidays: Sequence[Holiday], day: date) -> bool:
    """Whether `day` is one of the holidays."""
    if not holidays:
        return False
    iso = day.isoformat()
    off_easter = f"easter{(day - easter(day.year)).days:+d}"
    return any(holiday in (iso, iso[len(_LEAP_YEAR) :], off_easter) for holiday in holidays)


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, after Oudin (1940)."""
    century = year // 100
    golden = year % 19
    epact = (century - century // 4 - (8 * century + 13) // 25 + 19 * golden + 15) % 30
    epact -= (epact // 28) * (1 - (29 // (epact + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + epact + 2 - century + century // 4) % 7
    march = epact - weekday
    return date(year, 3, 1) + timedelta(days=march + 27)
