"""Shutdown stages: bounded, logged, and shortened by a second signal."""

import asyncio

import pytest

from jobs.engine.worker import shutdown as module
from jobs.engine.worker.shutdown import Shutdown
from jobs.testing.waiting import wait_until


async def test_stage_that_ends_in_time_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert await Shutdown().stage("alerts", asyncio.sleep(0))
    assert not caplog.records


async def test_error_of_a_stage_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("bug")

    with pytest.raises(ValueError, match="bug"):
        await Shutdown().stage("on_shutdown", fail())


async def test_stage_that_exceeds_its_timeout_is_canceled_and_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_AFTER", 0.01)
    canceled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    assert not await Shutdown().stage("on_shutdown (hang)", hang(), timeout=0.05)
    assert canceled.is_set()
    assert "shutdown waits for on_shutdown (hang), at most 0.05 s" in caplog.text
    assert "shutdown no longer waits for on_shutdown (hang), after 0.05 s" in caplog.text


async def test_stage_that_ignores_its_cancellation_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CANCEL_TIMEOUT", 0.01)
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    assert not await Shutdown().stage("a stubborn job", stubborn(), timeout=0.01)
    released.set()


async def test_second_signal_ends_the_wait(caplog: pytest.LogCaptureFixture) -> None:
    shutdown = Shutdown()
    stage = asyncio.create_task(shutdown.stage("on_shutdown", asyncio.Event().wait()))
    await wait_until(lambda: len(asyncio.all_tasks()) > 3)
    shutdown.hurry()
    assert not await stage
    assert "shutdown no longer waits for on_shutdown, on a second signal" in caplog.text


async def test_hurried_shutdown_still_runs_stages_that_end_at_once() -> None:
    shutdown = Shutdown()
    shutdown.hurry()
    ran = asyncio.Event()

    async def quick() -> None:
        ran.set()

    assert await shutdown.stage("on_shutdown", quick())
    assert ran.is_set()
