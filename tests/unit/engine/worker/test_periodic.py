"""Periodic background tasks."""

import asyncio

import pytest

from jobs.engine.worker import periodic
from jobs.engine.worker.periodic import run_periodically


async def test_periodic_call_without_a_reply_is_canceled_and_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead connection may give no error."""
    monkeypatch.setattr(periodic, "REPLY_TIMEOUT", 0.01)
    calls, done = 0, asyncio.Event()

    async def call_redis() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        done.set()

    task = asyncio.create_task(run_periodically(call_redis, 0.001))
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    assert "call_redis waits for Redis: timed out" in caplog.text
