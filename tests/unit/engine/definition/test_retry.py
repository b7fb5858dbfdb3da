"""When a failed job is tried again."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine.definition.decorator import job
from jobs.engine.definition.retry import (
    MAX_REQUESTED_WAIT,
    NO_RETRY,
    RetryPolicy,
    backoff,
    policy_of,
    retry,
)
from jobs.errors import (
    DatabaseError,
    ExternalServiceError,
    NotFoundError,
    StaleVersionError,
    UsageError,
    ValidationError,
    as_job_error,
)
from jobs.settings import Settings

DEFAULTS = Settings(_env_file=None)
seconds = st.floats(min_value=0, max_value=1e6)


def wait(
    policy: RetryPolicy, error: BaseException, try_number: int, settings: Settings = DEFAULTS
) -> float | None:
    delay = policy.next_wait(error, try_number, settings, lambda: 0.5)
    return None if delay is None else delay.total_seconds()


@given(st.integers(0, 10_000), seconds, seconds)
def test_the_wait_doubles_up_to_the_cap(n: int, delay: float, cap: float) -> None:
    one, following = backoff(n, delay, cap), backoff(n + 1, delay, cap)
    limit = timedelta(seconds=cap)
    assert timedelta() <= one <= following <= limit
    if following < limit:
        assert abs(following - 2 * one) <= timedelta(microseconds=2)


@given(st.integers(0, 100), seconds, seconds, st.floats(0, 1, exclude_max=True))
def test_jitter_takes_a_part_of_the_wait(n: int, delay: float, cap: float, part: float) -> None:
    whole = backoff(n, delay, cap)
    assert backoff(n, delay, cap, lambda: part) == pytest.approx(
        whole * part, abs=timedelta(microseconds=2)
    )


def test_the_defaults_are_the_settings_of_run_time() -> None:
    bug = RuntimeError("bug")
    assert [wait(RetryPolicy(), bug, n) for n in (1, 2, 3, 4)] == [5, 10, 20, None]
    other = DEFAULTS.model_copy(update={"task_max_retries": 1, "task_default_retry_delay": 2})
    assert [wait(RetryPolicy(), bug, n, other) for n in (1, 2)] == [2, None]


@pytest.mark.parametrize(
    "error", [ValidationError("bad"), NotFoundError("lead", 7), UsageError("wrong")]
)
def test_what_cannot_get_better_is_not_retried(error: Exception) -> None:
    assert wait(RetryPolicy(), error, 1) is None
    assert wait(RetryPolicy(on={Exception: RetryPolicy()}), error, 1) is None


def test_unless_its_class_is_named() -> None:
    policy = RetryPolicy(on={NotFoundError: RetryPolicy(max_retries=2, delay=1)})
    missing = NotFoundError("lead", 7)
    assert [wait(policy, missing, n) for n in (1, 2, 3)] == [1, 2, None]


def test_the_nearest_base_class_counts() -> None:
    policy = RetryPolicy(on={LookupError: NO_RETRY, Exception: RetryPolicy(delay=1)})
    assert wait(policy, KeyError("x"), 1) is None
    assert wait(policy, RuntimeError("x"), 1) == 1


def test_an_error_of_a_library_may_be_named_as_well() -> None:
    policy = RetryPolicy(on={ConnectionResetError: RetryPolicy(delay=7)})
    assert wait(policy, as_job_error(ConnectionResetError("gone")), 1) == 7
    assert wait(policy, as_job_error(ConnectionRefusedError("no")), 1) == 5


def test_stale_and_outside_errors_are_retried() -> None:
    assert wait(RetryPolicy(), StaleVersionError("lead"), 1) == 5
    assert wait(RetryPolicy(), DatabaseError("gone"), 1) == 5


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(2, 5), (90, 90), (10**9, MAX_REQUESTED_WAIT.total_seconds()), (0, 5)],
)
def test_a_wait_that_is_asked_for_is_honoured_within_bounds(asked: float, expected: float) -> None:
    assert wait(RetryPolicy(), ExternalServiceError("slow", retry_after=asked), 1) == expected


class SlowDownError(Exception):
    """As libraries have it, of no base of ours."""

    def __init__(self, retry_after: object) -> None:
        self.retry_after = retry_after


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("90", 90),
        (" 90.5 ", 90.5),
        (Decimal(90), 90),
        (timedelta(seconds=90), 90),
        (timedelta.max, MAX_REQUESTED_WAIT.total_seconds()),
        (1e300, MAX_REQUESTED_WAIT.total_seconds()),
    ],
)
def test_the_wait_may_be_asked_for_in_many_forms(asked: object, expected: float) -> None:
    assert wait(RetryPolicy(), SlowDownError(asked), 1) == expected


@pytest.mark.parametrize(
    "asked",
    [
        *(math.inf, -math.inf, math.nan, "nan", "inf", -90, "-90", timedelta(-1), 10**400),
        *("Wed, 21 Oct 2026 07:28:00 GMT", "", b"\xff", (), object(), lambda: 90),
    ],
    ids=lambda asked: type(asked).__name__,
)
def test_what_is_no_length_of_time_is_not_asked_for(asked: object) -> None:
    assert wait(RetryPolicy(), SlowDownError(asked), 1) == 5


def test_an_asked_wait_grants_no_further_tries() -> None:
    assert wait(RetryPolicy(), ExternalServiceError("slow", retry_after=1), 4) is None


def test_jitter_is_taken_from_the_given_source() -> None:
    assert wait(RetryPolicy(jitter=True), RuntimeError(), 2) == 5


def test_the_decorator_marks_and_leaves_the_function_alone() -> None:
    async def body(ctx: object) -> int:
        return 1

    assert retry(max_retries=1, delay=2)(body) is body
    assert policy_of(body) == RetryPolicy(max_retries=1, delay=2)


def test_the_order_of_the_decorators_is_checked() -> None:
    @job("tests.retry_order")
    async def body(ctx: object) -> int:
        return 1

    with pytest.raises(UsageError, match="put @job above @retry"):
        retry()(body)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("90", 90), ("1.5", 5), ("soon", 5), ("Wed, 21 Oct 2015 07:28:00 GMT", 5)],
)
def test_retry_after_may_be_the_text_of_the_header(header: str, expected: float) -> None:
    error = ExternalServiceError("busy", retry_after=header)
    assert wait(RetryPolicy(), error, 1) == pytest.approx(expected)


def test_retry_after_may_be_an_http_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    found = wait(RetryPolicy(), ExternalServiceError("busy", retry_after=date), 1)
    assert found == pytest.approx(600, abs=5)
