"""`--reload`: workers run the latest code."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from jobs.engine import create_pool
from tests.integration.workers import ROOT

SETTINGS = """
from jobs.engine import EngineSettings, job

@job("edited.answer")
async def answer(ctx):
    return {answer!r}

class WorkerSettings(EngineSettings):
    queue_name = "edited_tasks"
    functions = [answer]
    keep_result = 60
"""


@contextmanager
def reloading(folder: Path, redis_url: str) -> Iterator[Popen[bytes]]:
    command = [sys.executable, "-m", "jobs.worker", "edited.WorkerSettings", "--reload"]
    environment = os.environ | {
        "REDIS_URL": redis_url,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOG_LEVEL": "WARNING",
    }
    child = Popen(command, env=environment, cwd=folder)  # noqa: S603 - our own
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(20)


async def test_edited_job_runs_as_edited(redis_url: str, tmp_path: Path) -> None:
    module = tmp_path / "edited.py"
    module.write_text(SETTINGS.format(answer="first"))
    async with await create_pool(redis_url) as redis:

        async def answer() -> object:
            job = await redis.enqueue_job("edited.answer", _queue_name="edited_tasks")
            assert job is not None
            return await job.result(timeout=30, poll_delay=0.05)

        with reloading(tmp_path, redis_url) as worker:
            assert await answer() == "first"
            module.write_text("this is no Python")
            module.write_text(SETTINGS.format(answer="second"))
            async with asyncio.timeout(60):
                while (said := await answer()) == "first":
                    pass
            assert said == "second"
            assert worker.poll() is None
