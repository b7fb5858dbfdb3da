"""A try that is cancelled: by whom makes the difference."""

import asyncio
from contextvars import copy_context
from typing import Any

import pytest
from arq.worker import Retry

from jobs.engine.definition.decorator import job
from jobs.engine.definition.retry import NO_RETRY, retry
from jobs.engine.worker.eager_tasks import EagerTasks
from jobs.errors import JobError, ProcessTimeoutError


def context(job_try: int = 1) -> dict[str, Any]:
    """What a worker of ours hands to a try."""
    return {"engine": True, "job_id": "1", "job_try": job_try, "score": 0}


async def cancelled_task() -> None:
    """Waits for a task that somebody else cancels."""
    other = asyncio.create_task(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(other.cancel)
    await other


@job("tests.awaits_cancelled", timeout=5)
@retry(max_retries=1, delay=7)
async def awaits_cancelled(ctx: dict[str, Any], *, at_once: bool) -> None:
    if at_once:
        raise asyncio.CancelledError
    await cancelled_task()


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_a_job_awaited_was_cancelled_and_it_fails(at_once: bool) -> None:
    with pytest.raises(Retry) as again:
        await awaits_cancelled(context(), at_once=at_once)
    assert again.value.defer_score == 7000
    with pytest.raises(JobError, match=r"tests\.awaits_cancelled") as last:
        await awaits_cancelled(context(job_try=2), at_once=at_once)
    assert isinstance(last.value.__cause__, asyncio.CancelledError)


@pytest.mark.parametrize("at_once", [True, False])
async def test_so_it_does_in_a_task_that_is_at_its_first_wait_when_it_is_made(
    at_once: bool,
) -> None:
    ended = asyncio.get_running_loop().create_future()

    async def body() -> None:
        try:
            await awaits_cancelled(context(), at_once=at_once)
        except BaseException as error:  # noqa: BLE001 - whatever it is
            ended.set_result(error)

    EagerTasks(asyncio.get_running_loop(), copy_context()).start(body(), "one")
    assert isinstance(await ended, Retry)


async def test_its_policy_may_name_the_cancellation() -> None:
    @job("tests.never_again")
    @retry(on={asyncio.CancelledError: NO_RETRY})
    async def never_again(ctx: dict[str, Any]) -> None:
        await cancelled_task()

    with pytest.raises(JobError):
        await never_again(context())


@pytest.mark.parametrize("eager", [True, False])
async def test_a_try_that_is_asked_to_stop_is_cancelled(eager: bool) -> None:
    raised = []

    @job("tests.hangs")
    async def hangs(ctx: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    async def body() -> None:
        try:
            await hangs(context())
        except BaseException as error:
            raised.append(error)
            raise

    loop = asyncio.get_running_loop()
    if eager:
        task = EagerTasks(loop, copy_context()).start(body(), "one")
    else:
        task = asyncio.create_task(body())
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [type(error) for error in raised] == [asyncio.CancelledError]


async def test_one_that_runs_past_its_time_is_told_as_such() -> None:
    @job("tests.too_slow", timeout=0.01)
    @retry(max_retries=0)
    async def too_slow(ctx: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ProcessTimeoutError):
        await too_slow(context())


async def test_a_limit_of_its_own_is_no_cancellation() -> None:
    @job("tests.own_limit")
    async def own_limit(ctx: dict[str, Any]) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "went on"
        return "never"

    assert await own_limit(context()) == "went on"


async def test_an_error_whose_text_cannot_be_made_is_tried_again_too() -> None:
    class MuteError(TimeoutError):
        def __str__(self) -> str:
            raise AttributeError("message")

    @job("tests.mute")
    @retry(max_retries=1)
    async def mute(ctx: dict[str, Any]) -> None:
        raise MuteError

    with pytest.raises(Retry):
        await mute(context())
    with pytest.raises(JobError, match="MuteError"):
        await mute(context(job_try=2))
