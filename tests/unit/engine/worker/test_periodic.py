"""What is done again and again."""

import asyncio

import pytest

from jobs.engine.worker import periodic
from jobs.engine.worker.periodic import run_periodically


async def test_a_duty_that_gets_no_answer_is_given_up_and_done_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection may be dead without a word."""
    monkeypatch.setattr(periodic, "REPLY_TIMEOUT", 0.01)
    turns, done = 0, asyncio.Event()

    async def ask() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            await asyncio.Event().wait()
        done.set()

    doing = asyncio.create_task(run_periodically(ask, 0.001))
    async with asyncio.timeout(5):
        await done.wait()
    doing.cancel()
    assert "ask waits for Redis: timed out" in caplog.text
