"""The slots of a schedule: when it is due, by the clock of a place.

Slots are found in local time and compared in UTC, with Debian cron's rules for a change of the
clocks (as in cronsim): what runs at a set time of day runs once a day, after the gap if its time is
skipped, and what runs every so often goes on by real time.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from arq.cron import CronJob
from arq.typing import WEEKDAYS, OptionType
from cronsim import CronSim, CronSimError

from jobs.errors import UsageError

_SPANS: Final = [timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=32),
                 timedelta(days=367), timedelta(days=8 * 366)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FireTimes:
    """The slots of a schedule: minutes of local time, and the seconds within them.

    minutes: a cron expression of five fields. weekdays: where set, the slot's day must be one of
    them too (0 is Monday), as arq wants it; cron takes one of day and weekday.
    """

    minutes: str
    seconds: tuple[int, ...] = (0,)
    microsecond: int = 0
    weekdays: frozenset[int] | None = None

    @classmethod
    def from_expression(cls, expression: str, microsecond: int) -> "FireTimes":
        """Five fields, or six with the seconds first. Raises UsageError."""
        try:
            parsed = CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise UsageError(f"not a cron expression: {expression!r} ({error})") from None
        return cls(" ".join(parsed.parts[1:]), tuple(sorted(parsed.seconds)), microsecond)

    @classmethod
    def from_fields(cls, cron: CronJob) -> "FireTimes":
        """arq's fields; None is every one. Raises UsageError."""
        weekday = cron.weekday
        if isinstance(weekday, str):
            if weekday.lower() not in WEEKDAYS:
                raise UsageError(f"not a weekday: {weekday!r} (there are {', '.join(WEEKDAYS)})")
            weekday = WEEKDAYS.index(weekday.lower())
        weekdays = None if weekday is None else frozenset(_among(range(7), "weekday", weekday))
        by_weekday = weekdays is not None and cron.day is None
        fields = [_field(cron.minute), _field(cron.hour), _field(cron.day), _field(cron.month)]
        fields.append(_field({day + 1 for day in weekdays}) if weekdays and by_weekday else "*")
        times = cls.from_expression(" ".join(fields), cron.microsecond)
        seconds = tuple(range(60))
        if cron.second is not None:
            seconds = tuple(_among(range(60), "second", cron.second))
        return replace(times, seconds=seconds, weekdays=None if by_weekday else weekdays)

    def after(self, moment: datetime, zone: tzinfo) -> Iterator[datetime]:
        """The slots, in UTC, in whole seconds after that of `moment`."""
        second = moment.astimezone(UTC).replace(microsecond=0)
        start = (second.replace(second=0) - timedelta(seconds=1)).astimezone(zone)
        for minute in CronSim(self.minutes, start):
            if self.weekdays is not None and minute.weekday() not in self.weekdays:
                continue
            for offset in self.seconds:
                slot = minute.astimezone(UTC) + timedelta(seconds=offset)
                if slot > second:
                    yield slot + timedelta(microseconds=self.microsecond)

    def last(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The last slot up to `moment`; None when there was none for years."""
        for span in _SPANS:
            last = None
            for slot in self.after(moment - span, zone):
                if slot > moment:
                    break
                last = slot
            if last is not None:
                return last
        return None


def _numbers(option: int | Collection[int]) -> Collection[int]:
    return [option] if isinstance(option, int) else option


def _among(allowed: range, name: str, option: int | Collection[int]) -> list[int]:
    """The option's numbers. A schedule is searched for without end where there are none."""
    numbers = sorted(_numbers(option))
    if not numbers or any(number not in allowed for number in numbers):
        raise UsageError(f"cron: {name} is from 0 to {allowed[-1]}, not {option!r}")
    return numbers


def _field(option: OptionType) -> str:
    return "*" if option is None else ",".join(map(str, sorted(_numbers(option))))
