"""Time of the next attempt."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError as RuleError

from jobs.rules.dispositions import Disposition
from jobs.rules.redial import MAX_BACKOFF, RetryRule, RetryTable, next_attempt
from jobs.rules.windows import ALWAYS_OPEN, DEFAULT_WINDOWS, LocalWindow

D = Disposition
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
"""Monday, 11:00 in New York, which is in the morning."""
ANY_TIME = LocalWindow(ALWAYS_OPEN, ("America/New_York",))
BY_DAY = LocalWindow(DEFAULT_WINDOWS, ("America/New_York",))
NO_ZONE = LocalWindow(DEFAULT_WINDOWS, ())
UNLIMITED = RetryTable(no_answer=RetryRule(delay=MINUTE))
NEVER_RETRIED = [D.ANSWERED, D.DO_NOT_CALL, D.UNALLOCATED, D.SUPPRESSED, D.CANCELED]

moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # Hypothesis adds the zone
dispositions = st.sampled_from(Disposition)
windows = st.sampled_from(
    [
        ANY_TIME,
        BY_DAY,
        LocalWindow(DEFAULT_WINDOWS, ("Australia/Lord_Howe",)),
        LocalWindow(DEFAULT_WINDOWS, ("Europe/Paris",), "FR"),
        LocalWindow(DEFAULT_WINDOWS, ("America/Chicago", "America/Denver"), "US-AL"),
    ]
)


def after(
    disposition: Disposition,
    tries: int = 1,
    *,
    table: RetryTable | None = None,
    attempts: int = 1,
    cap: int | None = 6,
    now: datetime = NOW,
    callback_at: datetime | None = None,
    window: LocalWindow = ANY_TIME,
) -> datetime | None:
    """Return the next attempt after `tries` calls with the same disposition."""
    counted: Mapping[Disposition, int] = {disposition: tries}
    return next_attempt(
        table or RetryTable(), disposition, counted, attempts, cap, now, callback_at, window
    )


@pytest.mark.parametrize(
    ("disposition", "delays"),
    [
        (D.BUSY, [15 * MINUTE] * 3),
        (D.CARRIER_FAILURE, [5 * MINUTE, 10 * MINUTE, 20 * MINUTE]),
        (D.DECLINED, [24 * HOUR]),
        *((disposition, []) for disposition in NEVER_RETRIED),
    ],
)
def test_default_delays_and_maximum_retries(
    disposition: Disposition, delays: list[timedelta]
) -> None:
    for tries, delay in enumerate(delays, 1):
        assert after(disposition, tries) == NOW + delay
    assert after(disposition, len(delays) + 1) is None


def test_no_answer_and_voicemail_stop_at_their_maximum() -> None:
    assert [after(D.NO_ANSWER, tries) is None for tries in (1, 2, 3, 4)] == [False] * 3 + [True]
    assert [after(D.VOICEMAIL, tries) is None for tries in (1, 2, 3)] == [False] * 2 + [True]


@pytest.mark.parametrize(
    ("disposition", "called", "again"),
    [
        (D.NO_ANSWER, "2026-11-23T09:00", "2026-11-23T13:00"),
        (D.NO_ANSWER, "2026-11-23T12:30", "2026-11-23T17:00"),  # 16:30 is still afternoon
        (D.NO_ANSWER, "2026-11-23T18:00", "2026-11-24T08:00"),
        (D.VOICEMAIL, "2026-11-23T09:00", "2026-11-24T12:00"),
        (D.VOICEMAIL, "2026-11-23T14:00", "2026-11-24T17:00"),
        (D.VOICEMAIL, "2026-11-23T19:00", "2026-11-25T08:00"),
    ],
)
def test_retry_prefers_another_part_of_the_day(
    disposition: Disposition, called: str, again: str
) -> None:
    def in_new_york(text: str) -> datetime:
        return datetime.fromisoformat(f"{text}-05:00")

    assert after(disposition, now=in_new_york(called), window=BY_DAY) == in_new_york(again)


def test_retry_uses_the_same_part_of_the_day_if_no_other_is_open() -> None:
    mornings = ALWAYS_OPEN.model_validate(
        {"rules": [{"week": {day: ["09:00-11:30"] for day in ("monday", "tuesday", "thursday")}}]}
    )
    window = LocalWindow(mornings, ("America/New_York",))
    called = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    assert after(D.VOICEMAIL, now=called, window=window) == called + DAY
    assert after(D.NO_ANSWER, now=called, window=window) == called + DAY - 30 * MINUTE


def test_callback_is_at_the_requested_time_within_the_window() -> None:
    afternoon, night = NOW + 5 * HOUR, NOW + 11 * HOUR
    assert after(D.CALLBACK, callback_at=afternoon, window=BY_DAY) == afternoon
    assert after(D.CALLBACK, callback_at=night, window=BY_DAY) == NOW + 21 * HOUR
    assert after(D.CALLBACK, callback_at=NOW - HOUR, window=BY_DAY) == NOW
    assert after(D.CALLBACK, window=BY_DAY) == NOW + DAY
    assert after(D.BUSY, callback_at=afternoon) == NOW + 15 * MINUTE


def test_total_cap_ends_retries() -> None:
    assert after(D.BUSY, attempts=5) is not None
    assert after(D.BUSY, attempts=6) is None
    assert after(D.CALLBACK, attempts=6, callback_at=NOW) is None
    assert after(D.BUSY, attempts=600, cap=None) is not None


def test_carrier_failures_and_expired_calls_are_not_attempts() -> None:
    table = RetryTable()
    assert not table.counts(D.CARRIER_FAILURE)
    assert not table.counts(D.EXPIRED)
    assert all(
        table.counts(disposition)
        for disposition in D
        if disposition not in (D.CARRIER_FAILURE, D.EXPIRED)
    )


def test_lead_without_a_zone_has_no_next_attempt() -> None:
    assert after(D.NO_ANSWER, window=NO_ZONE) is None
    assert after(D.CALLBACK, callback_at=NOW, window=NO_ZONE) is None


def test_policy_can_retry_every_minute_without_limit() -> None:
    for tries in (1, 63, 10**6):
        assert after(D.NO_ANSWER, tries, table=UNLIMITED, cap=None, attempts=tries) == NOW + MINUTE


def test_policy_can_disable_retries() -> None:
    assert after(D.BUSY, table=RetryTable(busy=None)) is None
    assert after(D.BUSY, table=RetryTable(busy=RetryRule(delay=MINUTE, max=0))) is None


@given(dispositions, st.integers(1, 12), st.integers(1, 8), moments, windows)
def test_retry_is_in_the_window_and_after_the_delay(
    disposition: Disposition, tries: int, attempts: int, now: datetime, window: LocalWindow
) -> None:
    again = after(disposition, tries, attempts=attempts, now=now, window=window)
    rule = RetryTable().rule(disposition)
    if again is None:
        assert rule is None or attempts >= 6 or (rule.max is not None and tries > rule.max)
        return
    assert rule is not None
    assert window.is_open(again)
    first = window.next_open(now + rule.delay)
    assert first is not None
    assert again >= first
    if not (rule.another_part_of_day or rule.exponential):
        assert again == first
    assert again - first <= DAY


@given(
    st.timedeltas(timedelta(0), timedelta(days=3)),
    st.lists(st.integers(1, 10**9), min_size=2).map(sorted),
)
def test_backoff_grows_and_is_bounded(delay: timedelta, tries: list[int]) -> None:
    table = RetryTable(carrier_failure=RetryRule(delay=delay, exponential=True))
    waits = [after(D.CARRIER_FAILURE, n, table=table, cap=None) for n in tries]
    assert waits == sorted(wait for wait in waits if wait is not None)
    assert all(delay <= wait - NOW <= max(delay, MAX_BACKOFF) for wait in waits if wait)


@given(st.lists(dispositions, max_size=60), windows)
def test_default_retries_are_bounded(ends: list[Disposition], window: LocalWindow) -> None:
    """At most six attempts count, whatever the dispositions."""
    table, tries, attempts, now = RetryTable(), dict.fromkeys(D, 0), 0, NOW
    calls = 0
    for end in ends:
        calls += 1
        tries[end] += 1
        attempts += table.counts(end)
        again = next_attempt(table, end, tries, attempts, 6, now, None, window)
        if again is None:
            break
        assert again >= now
        now = again
    assert attempts <= 6
    assert calls - tries[D.EXPIRED] <= 6 + 4


def test_retry_table_round_trips_through_json() -> None:
    for table in (RetryTable(), UNLIMITED, RetryTable(busy=None)):
        assert RetryTable.model_validate_json(table.model_dump_json()) == table
    assert RetryTable.model_validate({"no_answer": {"delay": 60}}) == UNLIMITED


@pytest.mark.parametrize(
    "rule", [{"delay": -1}, {"delay": 60, "max": -1}, {}, {"delay": 60, "maximum": 3}]
)
def test_invalid_retry_rule_is_rejected(rule: dict[str, int]) -> None:
    with pytest.raises(RuleError):
        RetryTable.model_validate({"busy": rule})
