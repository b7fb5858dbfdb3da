"""Business clock, read by the calling rules, the schedules and the simulator.

Queue time (scores, leases) is Redis `TIME` and never comes from here.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from jobs.settings import SettingsError

MIN_RATE: Final = 0.001
MAX_RATE: Final = 1e6
"""Business seconds per real second."""
MIN_YEAR: Final = 1900
MAX_YEAR: Final = 2900
"""Far enough from the limits of `datetime` to add any interval that a job adds."""


class Clock(Protocol):
    """Source of business time."""

    def now(self) -> datetime:
        """Return the current business time, in UTC."""
        ...

    def real_delay(self, until: datetime) -> timedelta:
        """Return the real time left until a business time.

        Args:
            until: A business time, with its UTC offset.

        Returns:
            Real time; zero once `until` has passed.
        """
        ...

    def ago(self, real: timedelta) -> datetime:
        """Return the business time of a past moment.

        Use it for timeouts of machines, which do not run faster when business time does.

        Args:
            real: Real time since that moment.

        Returns:
            A business time in UTC.
        """
        ...


class SystemClock:
    """Clock of the machine: business time is real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def real_delay(self, until: datetime) -> timedelta:
        return max(until - self.now(), timedelta())

    def ago(self, real: timedelta) -> datetime:
        return self.now() - real


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Clock that runs `rate` times as fast as real time: start + rate * (real - epoch).

    All processes of a run share one clock through the setting RINGLINE_CLOCK (`START@RATE@EPOCH`).

    Attributes:
        start: Business time at `epoch`, with its UTC offset.
        rate: Business seconds per real second.
        epoch: Real time, in POSIX seconds.
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
        """Return the clock that `str(clock)` describes.

        Args:
            text: START@RATE@EPOCH: an ISO 8601 time with its UTC offset, business seconds per
                real second, and POSIX seconds.

        Raises:
            SettingsError: The text is malformed, or the clock is out of range.
        """
        try:
            start, rate, epoch = text.split("@")
            clock = cls(datetime.fromisoformat(start), float(rate), float(epoch))
        except ValueError:
            raise SettingsError(
                f"RINGLINE_CLOCK: expected START@RATE@EPOCH, got {text!r}"
            ) from None
        if clock.start.tzinfo is None or not MIN_RATE <= clock.rate <= MAX_RATE:
            raise SettingsError(
                "RINGLINE_CLOCK: START needs a UTC offset, and RATE must be from "
                f"{MIN_RATE:g} to {MAX_RATE:,.0f}"
            )
        try:
            in_range = MIN_YEAR <= clock.now().year <= MAX_YEAR
        except (OverflowError, ValueError):
            in_range = False
        if not in_range:
            raise SettingsError(
                "RINGLINE_CLOCK: the current business time must be between the years "
                f"{MIN_YEAR} and {MAX_YEAR}: {text!r}"
            )
        return clock


def clock_from(setting: str | None) -> Clock:
    """Return the clock that the setting RINGLINE_CLOCK describes.

    Args:
        setting: START@RATE@EPOCH (see `ScaledClock.parse`); empty or None for the machine's clock.

    Raises:
        SettingsError: The setting is malformed, or the clock is out of range.
    """
    return ScaledClock.parse(setting) if setting else SystemClock()
