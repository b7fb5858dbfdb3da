"""Fire times of a schedule, in the local time of a zone.

Fire times are computed in local time and compared in UTC. Clock changes follow Debian cron's rules
(as in cronsim): a job at a set time of day runs once a day, after the gap if its time is skipped,
and a job at an interval goes on by real time.
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
    """The fire times of a schedule: minutes of local time, and seconds within them.

    Attributes:
        minutes: A cron expression of five fields.
        seconds: Seconds within each minute.
        microsecond: Added to each fire time, as in arq.
        weekdays: If set, the day must be one of these, too (0 is Monday), as in arq; in cron, day
            or weekday suffices.
    """

    minutes: str
    seconds: tuple[int, ...] = (0,)
    microsecond: int = 0
    weekdays: frozenset[int] | None = None

    @classmethod
    def from_expression(cls, expression: str, microsecond: int) -> "FireTimes":
        """Return the fire times of five fields, or of six with the seconds first.

        Raises:
            UsageError: The expression is invalid.
        """
        try:
            parsed = CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise UsageError(f"not a cron expression: {expression!r} ({error})") from None
        return cls(" ".join(parsed.parts[1:]), tuple(sorted(parsed.seconds)), microsecond)

    @classmethod
    def from_fields(cls, cron: CronJob) -> "FireTimes":
        """Return the fire times of arq's fields, where None means every value.

        Raises:
            UsageError: A field is invalid.
        """
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
        """Yield the fire times, in UTC, from the whole second after `moment` on."""
        second = moment.astimezone(UTC).replace(microsecond=0)
        start = (second.replace(second=0) - timedelta(seconds=1)).astimezone(zone)
        for minute in CronSim(self.minutes, start):
            if self.weekdays is not None and minute.weekday() not in self.weekdays:
                continue
            for offset in self.seconds:
                fire_time = minute.astimezone(UTC) + timedelta(seconds=offset)
                if fire_time > second:
                    yield fire_time + timedelta(microseconds=self.microsecond)

    def last(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """Return the last fire time up to `moment`; None if there was none for years."""
        for span in _SPANS:
            last = None
            for fire_time in self.after(moment - span, zone):
                if fire_time > moment:
                    break
                last = fire_time
            if last is not None:
                return last
        return None


def _numbers(option: int | Collection[int]) -> Collection[int]:
    return [option] if isinstance(option, int) else option


def _among(allowed: range, name: str, option: int | Collection[int]) -> list[int]:
    """Return the numbers of an option. Without any, the search for a fire time would not end."""
    numbers = sorted(_numbers(option))
    if not numbers or any(number not in allowed for number in numbers):
        raise UsageError(f"cron: {name} is from 0 to {allowed[-1]}, not {option!r}")
    return numbers


def _field(option: OptionType) -> str:
    return "*" if option is None else ",".join(map(str, sorted(_numbers(option))))
