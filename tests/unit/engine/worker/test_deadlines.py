"""Deadlines cancel executions that exceed their timeout."""

import asyncio

import pytest

from jobs.engine.queue.claim import Claim
from jobs.engine.worker import deadlines
from jobs.engine.worker.deadlines import Deadlines
from jobs.engine.worker.execution import CancelReason, Execution
from jobs.testing.waiting import wait_until


def execution_of(task: asyncio.Task[None]) -> Execution:
    execution = Execution(Claim("id", "q", b"1", "token", b"", 0.0), 0.0)
    execution.task = task
    return execution


async def test_execution_past_its_deadline_is_canceled() -> None:
    execution = execution_of(asyncio.create_task(asyncio.sleep(3600)))
    Deadlines(asyncio.get_running_loop(), lambda: [execution]).watch(execution, 0.01)
    assert execution.task is not None
    await asyncio.wait([execution.task])
    assert execution.cancel_reason is CancelReason.TIMEOUT


async def test_execution_that_is_being_canceled_has_time_to_end() -> None:
    """If the loop was blocked, the job's own timeout may have fired in the same turn."""
    over = asyncio.Event()

    async def clean_up() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await over.wait()

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    execution = execution_of(task)
    Deadlines(asyncio.get_running_loop(), lambda: [execution]).watch(execution, 0.01)
    task.cancel()
    await wait_until(lambda: execution.timed_out)
    assert execution.cancel_reason is None
    over.set()
    await task


async def test_execution_that_ignores_its_cancellation_is_canceled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines, "_TIME_TO_END", 0.01)

    async def ignore_cancellation() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

    task = asyncio.create_task(ignore_cancellation())
    await asyncio.sleep(0)
    execution = execution_of(task)
    Deadlines(asyncio.get_running_loop(), lambda: [execution]).watch(execution, 0.01)
    task.cancel()
    await asyncio.wait([task])
    assert execution.cancel_reason is CancelReason.TIMEOUT
