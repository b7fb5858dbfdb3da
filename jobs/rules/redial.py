"""When a lead is called again, by how the last call ended."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from jobs.rules.dispositions import Disposition
from jobs.rules.frozen import Frozen
from jobs.rules.windows import LocalWindow

LONGEST_BACKOFF: Final = timedelta(days=1)
"""What an exponential delay grows to, at most."""
PARTS_OF_DAY: Final = (8, 12, 17)
"""The local hours at which morning, afternoon and evening begin."""


class RetryRule(Frozen):
    """What follows on one disposition.

    delay: before the next attempt. max: further attempts after this disposition; None is without
    limit. exponential: each further one waits twice as long. another_part_of_day: where the window
    allows it within a day. counts_as_attempt: towards the total cap.
    """

    delay: Annotated[timedelta, Field(ge=timedelta())]
    max: Annotated[int, Field(ge=0)] | None = None
    exponential: bool = False
    another_part_of_day: bool = False
    counts_as_attempt: bool = True


class RetryTable(Frozen):
    """A rule for each disposition after which a lead may be called again; None is never.

    The others (answered, do-not-call, unallocated, …) are never followed by another attempt.
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
    """The delay serves where no time was asked for."""
    expired: RetryRule | None = RetryRule(delay=timedelta(), counts_as_attempt=False)
    """Not dialled: the window had closed."""

    def rule(self, disposition: Disposition) -> RetryRule | None:
        """What follows on the disposition; None when nothing does."""
        rule: RetryRule | None = getattr(self, disposition.value, None)
        return rule

    def counts(self, disposition: Disposition) -> bool:
        """Whether a call that ended so counts towards the total cap."""
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
    """The first allowed instant of the next attempt; None when there is to be none.

    tries: how often each disposition has ended a call of the enrolment, and attempts: its calls
    that count; the one that just ended is in both. callback_at: asked for by the person.
    """
    rule = table.rule(disposition)
    ended_so = max(1, tries.get(disposition, 0))
    if rule is None or (rule.max is not None and ended_so > rule.max):
        return None
    if total_cap is not None and attempts >= total_cap:
        return None
    if disposition is Disposition.CALLBACK and callback_at is not None:
        return window.next_open(max(now, callback_at))
    first = window.next_open(now + _delay(rule, ended_so))
    if first is None or not rule.another_part_of_day:
        return first
    return _in_another_part(first, now, window)


def _delay(rule: RetryRule, ended_so: int) -> timedelta:
    if not rule.exponential:
        return rule.delay
    # 2**20 times a microsecond is a second, and times a minute two years: no need to go on.
    doublings: int = 2 ** min(ended_so - 1, 20)
    return min(rule.delay * doublings, max(rule.delay, LONGEST_BACKOFF))


def _in_another_part(first: datetime, now: datetime, window: LocalWindow) -> datetime:
    """The first allowed instant in another part of the day than `now`'s, within a day of `first`;
    else `first`."""
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
