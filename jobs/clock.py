"""Business time: the clock that the calling rules, the schedules and the simulator read.

Queue time (scores, leases) is Redis `TIME` and is never read from here.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from jobs.settings import SettingsError

SLOWEST: Final = 0.001
FASTEST: Final = 1e6
"""Business seconds in a real one."""
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2900
"""Far enough from the ends of the calendar to add the spans that the jobs add."""


class Clock(Protocol):
    """Where business time comes from."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        ...

    def real_delay(self, until: datetime) -> timedelta:
        """How long, in real time, until the business moment `until`; never negative."""
        ...

    def ago(self, real: timedelta) -> datetime:
        """The business moment that was `real` time ago: for waits on machines, not on people."""
        ...


class SystemClock:
    """The machine's clock: business time is real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def real_delay(self, until: datetime) -> timedelta:
        return max(until - self.now(), timedelta())

    def ago(self, real: timedelta) -> datetime:
        return self.now() - real


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Business time that runs `rate` times as fast as real time: start + rate * (real - epoch).

    start: the business moment at `epoch`; epoch: real POSIX seconds. The three are one line that
    all processes of a run share, as the setting JOBS_CLOCK (`START@RATE@EPOCH`).
    """

    start: datetime
    rate: float
    epoch: float

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.rate * (time.time() - self.epoch))

    def real_delay(self, until: datetime) -> timedelta:
        return max((until - self.now()) / self.rate, timedelta())

    def ago(self, real: timedelta) -> datetime:
        return self.now() - real * self.rate

    def __str__(self) -> str:
        return f"{self.start.isoformat()}@{self.rate!r}@{self.epoch!r}"

    @classmethod
    def parse(cls, text: str) -> "ScaledClock":
        """The clock that `str(clock)` wrote. Raises SettingsError."""
        try:
            start, rate, epoch = text.split("@")
            clock = cls(datetime.fromisoformat(start), float(rate), float(epoch))
        except ValueError:
            raise SettingsError(f"JOBS_CLOCK: not START@RATE@EPOCH: {text!r}") from None
        if clock.start.tzinfo is None or not SLOWEST <= clock.rate <= FASTEST:
            raise SettingsError(
                "JOBS_CLOCK: START needs its UTC offset, and RATE is from "
                f"{SLOWEST:g} to {FASTEST:,.0f}"
            )
        try:
            in_range = FIRST_YEAR <= clock.now().year <= LAST_YEAR
        except (OverflowError, ValueError):
            in_range = False
        if not in_range:
            raise SettingsError(
                f"JOBS_CLOCK: by this clock it is not between the years {FIRST_YEAR} and "
                f"{LAST_YEAR}: {text!r}"
            )
        return clock


def clock_from(setting: str | None) -> Clock:
    """The clock that the setting JOBS_CLOCK describes; without one, the machine's."""
    return ScaledClock.parse(setting) if setting else SystemClock()
