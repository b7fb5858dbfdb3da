"""The time limit of a try."""

import asyncio
import gc
import weakref

import pytest

from jobs.engine.definition.time_limit import TimeLimit


async def test_what_is_in_time_is_left_alone() -> None:
    with TimeLimit(30):
        await asyncio.sleep(0)


async def test_what_is_late_is_cancelled_and_told_as_a_timeout() -> None:
    cleaned_up = asyncio.Event()

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    with pytest.raises(TimeoutError, match=r"exceeded 0\.01 s"), TimeLimit(0.01) as limit:
        await body()
    assert cleaned_up.is_set()
    assert limit.expired
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_each_of_many_has_its_own_time() -> None:
    ended: list[float] = []

    async def run(seconds: float) -> None:
        with pytest.raises(TimeoutError), TimeLimit(seconds):
            await asyncio.Event().wait()
        ended.append(seconds)

    await asyncio.gather(run(0.15), run(0.01), run(0.08))
    assert ended == [0.01, 0.08, 0.15]


async def test_the_inner_of_two_limits_leaves_the_outer_one() -> None:
    with TimeLimit(30):
        with pytest.raises(TimeoutError), TimeLimit(0.01):
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def run() -> None:
        with TimeLimit(30):
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_its_own_is_not_hidden() -> None:
    async def body() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("own") from None

    with pytest.raises(ValueError, match="own"), TimeLimit(0.01):
        await body()


def test_a_closed_loop_is_let_go() -> None:
    async def run() -> None:
        with TimeLimit(300):
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(run())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
