"""Shutdown of worker processes that hang: a second signal ends them, and no job is lost."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.engine import Pool
from jobs.testing.waiting import wait_until
from tests.integration.workers import ROOT

QUEUE = "stubborn_tasks"
MODULE = "tests.integration.engine.worker.stubborn_settings"


@asynccontextmanager
async def worker_process(url: str, settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobs.worker", f"{MODULE}.{settings}", "1"),
        env={**os.environ, "REDIS_URL": url, "TASK_SHUTDOWN_GRACE": "0"},
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def alive(pool: Pool) -> bool:
    return bool(await pool.exists(f"{QUEUE}:health-check"))


async def reached(pool: Pool, state: bytes) -> bool:
    return bool(await pool.get("stubborn") == state)


async def test_second_signal_ends_a_hanging_on_shutdown(pool: Pool, redis_url: str) -> None:
    async with worker_process(redis_url, "HangingHook") as process:
        await wait_until(lambda: alive(pool), timeout=30)
        process.send_signal(signal.SIGTERM)
        await wait_until(lambda: reached(pool, b"on_shutdown"), timeout=30)
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert b"shutdown no longer waits for on_shutdown" in errors


async def test_second_signal_abandons_a_job_that_ignores_its_cancellation(
    pool: Pool, redis_url: str
) -> None:
    job = await pool.enqueue_job("stubborn.wait", _queue_name=QUEUE)
    assert job is not None
    async with worker_process(redis_url, "StubbornJob") as process:
        await wait_until(lambda: reached(pool, b"started"), timeout=30)
        process.send_signal(signal.SIGTERM)
        while b"shutdown" not in await _line(process):  # the first signal has been handled
            pass
        process.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(process.stderr.read(), 25) if process.stderr else b""
        code = await asyncio.wait_for(process.wait(), 10)
    assert b"jobs that ignore their cancellation" in rest
    assert code == 1
    assert await pool.zscore(QUEUE, job.job_id) is not None, "another worker will run the job"


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), 30)
    assert line, "the process has ended"
    return line
