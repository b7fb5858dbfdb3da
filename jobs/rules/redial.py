"""Retry rules: the time of the next attempt, by the disposition of the last call."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from jobs.rules.dispositions import Disposition
from jobs.rules.frozen import Frozen
from jobs.rules.windows import LocalWindow

MAX_BACKOFF: Final = timedelta(days=1)
"""Maximum of an exponential delay."""
PARTS_OF_DAY: Final = (8, 12, 17)
"""Local hours at which morning, afternoon and evening begin."""


class RetryRule(Frozen):
    """Retry rule of one disposition.

    Attributes:
        delay: Time before the next attempt.
        max: Further attempts after this disposition; None means no limit.
        exponential: Double the delay at each further attempt, up to MAX_BACKOFF.
        another_part_of_day: Prefer another part of the day, if the window opens in one within a
            day.
        counts_as_attempt: Count a call with this disposition toward the total cap.
    """

    delay: Annotated[timedelta, Field(ge=timedelta())]
    max: Annotated[int, Field(ge=0)] | None = None
    exponential: bool = False
    another_part_of_day: bool = False
    counts_as_attempt: bool = True


class RetryTable(Frozen):
    """Retry rules by disposition; None means no further attempt.

    Dispositions without a field (answered, do_not_call, unallocated, …) are never retried.

    Each field has the name of its disposition. The delay of `callback` applies only if the person
    asked for no particular time.
    """

    busy: RetryRule | None = RetryRule(delay=timedelta(minutes=15), max=3)
    no_answer: RetryRule | None = RetryRule(
        delay=timedelta(hours=4), max=3, another_part_of_day=True
    )
    voicemail: RetryRule | None = RetryRule(
        delay=timedelta(days=1), max=2, another_part_of_day=True
    )
    carrier_failure: RetryRule | None = RetryRule(
        delay=timedelta(minutes=5), max=3, exponential=True, counts_as_attempt=False
    )
    declined: RetryRule | None = RetryRule(delay=timedelta(hours=24), max=1)
    callback: RetryRule | None = RetryRule(delay=timedelta(days=1))
    expired: RetryRule | None = RetryRule(delay=timedelta(), counts_as_attempt=False)

    def rule(self, disposition: Disposition) -> RetryRule | None:
        """Return the rule of a disposition; None if it is never retried."""
        rule: RetryRule | None = getattr(self, disposition.value, None)
        return rule

    def counts(self, disposition: Disposition) -> bool:
        """Return True if a call with this disposition counts toward the total cap."""
        rule = self.rule(disposition)
        return rule is None or rule.counts_as_attempt


def next_attempt(
    table: RetryTable,
    disposition: Disposition,
    tries: Mapping[Disposition, int],
    attempts: int,
    total_cap: int | None,
    now: datetime,
    callback_at: datetime | None,
    window: LocalWindow,
) -> datetime | None:
    """Return the earliest allowed time of the next attempt; None if there is none.

    Args:
        table: Retry rules of the campaign.
        disposition: Disposition of the call that just ended.
        tries: Calls of the enrollment by disposition, with the call that just ended.
        attempts: Calls of the enrollment that count toward the cap, with the call that just ended.
        total_cap: Maximum of `attempts`; None means no cap.
        now: Current time, timezone-aware.
        callback_at: Time that the person asked for; None if none was given.
        window: Calling window of the lead.
    """
    rule = table.rule(disposition)
    count = max(1, tries.get(disposition, 0))
    if rule is None or (rule.max is not None and count > rule.max):
        return None
    if total_cap is not None and attempts >= total_cap:
        return None
    if disposition is Disposition.CALLBACK and callback_at is not None:
        return window.next_open(max(now, callback_at))
    first = window.next_open(now + _delay(rule, count))
    if first is None or not rule.another_part_of_day:
        return first
    return _in_another_part(first, now, window)


def _delay(rule: RetryRule, count: int) -> timedelta:
    if not rule.exponential:
        return rule.delay
    # Bounded, so that the product stays in range: 1 s doubled 20 times is 12 days.
    doublings: int = 2 ** min(count - 1, 20)
    return min(rule.delay * doublings, max(rule.delay, MAX_BACKOFF))


def _in_another_part(first: datetime, now: datetime, window: LocalWindow) -> datetime:
    """Return the first open time in another part of the day than `now`, or else `first`."""
    tried = _part_of_day(window.local(now))
    allowed: datetime | None = first
    while allowed is not None and allowed - first <= timedelta(days=1):
        local = window.local(allowed)
        if _part_of_day(local) != tried:
            return allowed
        allowed = window.next_open(_end_of_part(allowed, local))
    return first


def _part_of_day(local: datetime) -> int:
    return bisect_right(PARTS_OF_DAY, local.hour) % len(PARTS_OF_DAY)


def _end_of_part(at: datetime, local: datetime) -> datetime:
    hour = next((hour for hour in PARTS_OF_DAY if hour > local.hour), None)
    day = local if hour is not None else local + timedelta(days=1)
    end = day.replace(hour=hour or PARTS_OF_DAY[0], minute=0, second=0, microsecond=0, fold=0)
    return max(end.astimezone(UTC), at + timedelta(minutes=1))
