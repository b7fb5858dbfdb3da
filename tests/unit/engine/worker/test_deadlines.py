"""The backstop of a job's time."""

import asyncio

import pytest

from jobs.engine.queue.claim import Claim
from jobs.engine.worker import deadlines
from jobs.engine.worker.deadlines import Deadlines
from jobs.engine.worker.execution import CancelReason, Execution
from jobs.testing.waiting import wait_until


def try_of(task: asyncio.Task[None]) -> Execution:
    one = Execution(Claim("id", "q", b"1", "token", b"", 0.0), 0.0)
    one.task = task
    return one


async def test_a_try_past_its_time_is_cancelled() -> None:
    one = try_of(asyncio.create_task(asyncio.sleep(3600)))
    Deadlines(asyncio.get_running_loop(), lambda: [one]).watch(one, 0.01)
    assert one.task is not None
    await asyncio.wait([one.task])
    assert one.cancel_reason is CancelReason.TIMEOUT


async def test_one_that_is_being_cancelled_has_a_while_to_end() -> None:
    """As where the loop was blocked, and its own limit found out in the same turn."""
    over = asyncio.Event()

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await over.wait()

    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    one = try_of(task)
    Deadlines(asyncio.get_running_loop(), lambda: [one]).watch(one, 0.01)
    task.cancel()
    await wait_until(lambda: one.timed_out)
    assert one.cancel_reason is None
    over.set()
    await task


async def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "_TIME_TO_END", 0.01)

    async def stays() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

    task = asyncio.create_task(stays())
    await asyncio.sleep(0)
    one = try_of(task)
    Deadlines(asyncio.get_running_loop(), lambda: [one]).watch(one, 0.01)
    task.cancel()
    await asyncio.wait([task])
    assert one.cancel_reason is CancelReason.TIMEOUT
