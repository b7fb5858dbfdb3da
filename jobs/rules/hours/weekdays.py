"""Open time spans of the seven weekdays."""

from datetime import time
from functools import cached_property
from typing import Final

from jobs.rules.calendar import Span, Spans, spans
from jobs.rules.frozen import Frozen

WHOLE_DAY: Final[Spans] = (Span(0, 24 * 60),)
WEEKDAY_NAMES: Final = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
SATURDAY: Final = 5
"""Index of Saturday in `Week.days`, and `date.weekday()` of a Saturday."""


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


def intersect_spans(left: Spans, right: Spans) -> Spans:
    """Return the spans of a day that are open in both."""
    both = (Span(max(a.opens, b.opens), min(a.closes, b.closes)) for a in left for b in right)
    return tuple(span for span in both if span.opens < span.closes)


def contains(day: Spans, wall: time) -> bool:
    """Return True if a time of day is open."""
    minute = wall.hour * 60 + wall.minute
    return any(opens <= minute < closes for opens, closes in day)


def describe_spans(day: Spans) -> str:
    """Return "10:00-13:00 14:00-20:00", or "closed"."""
    return " ".join(map(str, day)) or "closed"
