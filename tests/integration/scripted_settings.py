"""Settings classes for worker processes in tests. The jobs record in Redis what they do."""

import asyncio
import os
import signal
import time
from typing import Any, ClassVar

from arq.worker import func

from jobs.engine import EngineSettings, job, retry

QUEUE = "chaos_tasks"


@job("chaos.work", queue=QUEUE)
@retry()
async def work(ctx: dict[str, Any], seconds: float) -> str:
    """Record the process and the try at the start, and the job id at the end."""
    redis, job_id = ctx["redis"], ctx["job_id"]
    await redis.rpush("started", f"{job_id} {os.getpid()} {ctx['job_try']}")
    await asyncio.sleep(seconds)
    await redis.rpush("ended", job_id)
    return f"{os.getpid()}"


async def block(ctx: dict[str, Any], seconds: float) -> str:
    """Block the event loop of the process."""
    await ctx["redis"].rpush("started", f"{ctx['job_id']} {os.getpid()} {ctx['job_try']}")
    time.sleep(seconds)  # noqa: ASYNC251  # blocks on purpose
    return f"{os.getpid()}"


@job("chaos.die", queue=QUEUE)
@retry()
async def die(ctx: dict[str, Any]) -> None:
    """Kill the process after recording the start."""
    await ctx["redis"].rpush("started", f"{ctx['job_id']} {os.getpid()} {ctx['job_try']}")
    os.kill(os.getpid(), signal.SIGKILL)


@job("chaos.die_at_once", queue=QUEUE)
@retry()
async def die_at_once(ctx: dict[str, Any]) -> None:
    """Kill the process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


@job("chaos.wait", queue=QUEUE)
@retry()
async def wait(ctx: dict[str, Any], seconds: float) -> str:
    """Sleep like `chaos.work`, but without using Redis."""
    await asyncio.sleep(seconds)
    return f"{os.getpid()}"


@job("chaos.newer", queue=QUEUE)
@retry()
async def newer(ctx: dict[str, Any]) -> str:
    """Job that only a newer release knows."""
    return f"{os.getpid()}"


class Chaos(EngineSettings):
    queue_name = QUEUE
    functions: tuple[Any, ...] = (
        work,
        die,
        die_at_once,
        wait,
        func(block, name="chaos.block", timeout=60),
        func(block, name="chaos.stall", timeout=1),
    )
    lease: ClassVar[float] = 1
    max_jobs: ClassVar[int] = 10


class Aside(Chaos):
    queue_name = "aside_tasks"


class Newer(Chaos):
    functions = (*Chaos.functions, newer)


class Broken(Chaos):
    @staticmethod
    async def on_startup(ctx: dict[Any, Any]) -> None:
        raise RuntimeError("the voice provider does not answer")
