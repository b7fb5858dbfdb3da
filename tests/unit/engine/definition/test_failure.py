"""A retry policy judges the errors inside groups and, where it says so, causes."""

import asyncio
import gc
import weakref
from datetime import timedelta
from typing import Any

import pytest
from arq.worker import JobExecutionFailed, Retry

from jobs.engine.definition.attempt import failure
from jobs.engine.definition.failure import members, next_wait
from jobs.engine.definition.job import JobDefinition
from jobs.engine.definition.retry import NO_RETRY, RetryPolicy
from jobs.errors import ExternalServiceError, NotFoundError, ValidationError
from jobs.privacy.error_text import error_message, mask_message
from jobs.settings import Settings

SETTINGS = Settings(_env_file=None)
DEFAULT = RetryPolicy()
BUG = ValueError("bug")


def wait(error: BaseException, policy: RetryPolicy = DEFAULT, try_number: int = 1) -> float | None:
    found = next_wait(policy, error, try_number, SETTINGS, lambda: 0.0)
    return None if found is None else found.total_seconds()


def group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("unhandled errors in a TaskGroup", errors)


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "policy", "expected"),
    [
        (group(BUG), DEFAULT, 5.0),
        (group(BUG, ValidationError("bad")), DEFAULT, None),
        (group(BUG, group(NotFoundError("lead", 1))), DEFAULT, None),
        (group(BUG, ExternalServiceError("busy", retry_after=60)), DEFAULT, 60.0),
        (group(ExternalServiceError("a", retry_after=30), group(Retry(defer=90))), DEFAULT, 90.0),
        (group(KeyError("x")), RetryPolicy(on={KeyError: RetryPolicy(delay=2)}), 2.0),
        (group(KeyError("x"), BUG), RetryPolicy(on={KeyError: NO_RETRY}), None),
        (SystemExit(3), DEFAULT, 5.0),
        (Retry(defer=7), DEFAULT, 7.0),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_group_is_judged_by_its_members(
    error: BaseException, policy: RetryPolicy, expected: float | None
) -> None:
    assert wait(error, policy) == expected


@pytest.mark.parametrize("error", [group(BUG), group(Retry()), Retry(), BUG])
def test_tries_are_bounded(error: BaseException) -> None:
    assert wait(error, try_number=4) is None


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (DEFAULT, 5.0),
        (RetryPolicy(causes=True), None),
        (RetryPolicy(causes=True, on={ValidationError: RetryPolicy(delay=1)}), 5.0),
    ],
)
def test_causes_are_judged_where_the_policy_says_so(
    policy: RetryPolicy, expected: float | None
) -> None:
    assert wait(caused(RuntimeError("wrapped"), ValidationError("bad")), policy) == expected


def test_requested_wait_of_a_cause_is_honored() -> None:
    error = caused(RuntimeError("wrapped"), ExternalServiceError("busy", retry_after=60))
    assert wait(error, RetryPolicy(causes=True)) == 60.0


def test_endless_chain_of_causes_ends() -> None:
    error = ValueError("x")
    error.__cause__ = error
    assert wait(error, RetryPolicy(causes=True)) == 5.0


def test_message_of_a_group_names_its_members() -> None:
    error = group(ValidationError("bad column"), group(KeyError("Ann")))
    assert "ValidationError: bad column" in error_message(error)
    assert "KeyError" in error_message(error)
    assert "Ann" not in mask_message(error, [("name", "Ann Example")])
    assert [type(member) for member in members(error)] == [ValidationError, KeyError]


def definition(body: Any, policy: RetryPolicy = DEFAULT) -> JobDefinition:
    return JobDefinition("tests.fail", body, policy, 10, None, None, (), True)


async def body(ctx: dict[str, Any]) -> None: ...


def test_last_retry_requested_by_the_job_is_refused() -> None:
    raised = failure(definition(body), Retry(defer=1), 4, SETTINGS)
    assert isinstance(raised, JobExecutionFailed)
    assert isinstance(failure(definition(body), Retry(defer=1), 3, SETTINGS), Retry)


class Weak:
    """A local variable of a job that can be watched."""


async def test_failed_execution_leaves_no_reference_cycle() -> None:
    from jobs.engine.definition import attempt

    seen: list[weakref.ref[Weak]] = []

    async def fails(ctx: dict[str, Any]) -> None:
        local = Weak()
        seen.append(weakref.ref(local))
        raise ValueError("bug")

    ctx = {"job_try": 4, "settings": SETTINGS}
    gc.disable()
    try:
        for policy in (DEFAULT, RetryPolicy(max_retries=9)):
            with pytest.raises((ValueError, Retry)):
                await attempt.attempt(definition(fails, policy), ctx, (), {})
        assert [reference() for reference in seen] == [None, None]
    finally:
        gc.enable()


async def test_error_after_a_cancellation_is_the_cancellation() -> None:
    from jobs.engine.definition import attempt

    started = asyncio.Event()

    async def converts(ctx: dict[str, Any]) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("the driver was interrupted") from None

    ctx = {"job_try": 1, "settings": SETTINGS}
    task = asyncio.create_task(attempt.attempt(definition(converts), ctx, (), {}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_wait_of_arqs_retry_counts_in_milliseconds() -> None:
    assert wait(Retry(defer=timedelta(milliseconds=1500))) == 1.5
