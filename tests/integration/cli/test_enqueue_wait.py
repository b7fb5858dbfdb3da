"""`ringline enqueue --wait` without a result: one line gives the reason."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import Any

import pytest
from arq.worker import Worker

from jobs.default.scripted import run_script
from jobs.engine import EngineSettings, Pool, create_pool
from jobs.engine.bootstrap.workers import create_worker
from jobs.engine.client.job import Job
from jobs.testing.waiting import wait_until
from tests.integration.workers import ROOT, running

QUEUE = "default"
COMMAND = "import jobs.default.scripted; from jobs.cli import main; main()"
"""`ringline` in a process that knows the scripted job."""


class Scripted(EngineSettings):
    queue_name = QUEUE
    functions = (run_script,)


async def worker(redis_url: str, **options: Any) -> Worker:
    return create_worker(Scripted, redis_pool=await create_pool(redis_url), **options)


@contextmanager
def waiting(redis_url: str, step: str) -> Iterator["Popen[str]"]:
    """Run the command for a job with the id `one` and a script of one step."""
    words = ["enqueue", "default.scripted", step, "--id", "one", "--wait"]
    child = Popen(  # noqa: S603 - our own command
        [
            sys.executable,
            "-c",
            "import jobs.default.scripted; from jobs.cli import main; main()",
            *words,
        ],
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"REDIS_URL": redis_url},
    )
    with child:
        try:
            yield child
        finally:
            child.kill()


async def end(child: "Popen[str]") -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr."""
    output, errors = await asyncio.to_thread(child.communicate)
    return child.returncode, output, errors


async def enqueued(pool: Pool) -> None:
    await wait_until(lambda: pool.zscore(QUEUE, "one"), timeout=30)


async def test_aborted_job_is_reported(pool: Pool, redis_url: str) -> None:
    with waiting(redis_url, "sleep:60") as child:
        await enqueued(pool)
        async with running(await worker(redis_url, allow_abort_jobs=True)):
            assert await Job("one", pool, QUEUE, pool.job_deserializer).abort(timeout=30)
        assert await end(child) == (1, "one\n", "ringline: the job was aborted\n")


async def test_job_without_a_result_is_reported(pool: Pool, redis_url: str) -> None:
    with waiting(redis_url, "ok") as child:
        await enqueued(pool)
        async with running(await worker(redis_url, keep_result=0)):
            code, output, errors = await end(child)
    assert (code, output) == (1, "one\n")
    assert errors.startswith("ringline: the job has ended and left no result, so its outcome is ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_signal_interrupts_the_wait(redis_url: str, signum: signal.Signals) -> None:
    with waiting(redis_url, "ok") as child:
        assert child.stdout is not None
        assert await asyncio.to_thread(child.stdout.readline) == "one\n"
        child.send_signal(signum)
        assert await end(child) == (130, "", "ringline: interrupted\n")
