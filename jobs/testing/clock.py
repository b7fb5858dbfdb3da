"""Business clock that moves only when a test moves it."""

from datetime import UTC, datetime, timedelta


class FrozenClock:
    """`Clock` that stands still until `advance`; real delays equal business delays.

    Args:
        now: Business time, with its UTC offset.

    Raises:
        ValueError: `now` has no UTC offset.
    """

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError(
                "a clock needs a time with a UTC offset, such as datetime(…, tzinfo=UTC)"
            )
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def real_delay(self, until: datetime) -> timedelta:
        return max(until - self._now, timedelta())

    def ago(self, real: timedelta) -> datetime:
        return self._now - real

    def advance(self, by: timedelta) -> datetime:
        """Move the clock forward.

        Args:
            by: Business time to add.

        Returns:
            The new business time, in UTC.

        Raises:
            ValueError: `by` is negative.
        """
        if by < timedelta():
            raise ValueError("a clock cannot be moved back: use a positive timedelta")
        self._now += by
        return self._now
