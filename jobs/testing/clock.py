"""A business clock that moves only when a test moves it."""

from datetime import UTC, datetime, timedelta


class FrozenClock:
    """A clock that stands still at `now`; a real second is worth a business second."""

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock needs a moment with its UTC offset")
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def real_delay(self, until: datetime) -> timedelta:
        return max(until - self._now, timedelta())

    def ago(self, real: timedelta) -> datetime:
        return self._now - real

    def advance(self, by: timedelta) -> datetime:
        """Moves the clock; answers the new moment. Time never goes back."""
        if by < timedelta():
            raise ValueError("a clock cannot be moved back")
        self._now += by
        return self._now
