"""Settings classes for the worker processes of tests. The jobs tell Redis what they do."""

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
    """Notes its process and its token at the start, and its end at the end."""
    redis, job_id = ctx["redis"], ctx["job_id"]
    await redis.rpush("started", f"{job_id} {os.getpid()} {ctx['job_try']}")
    await asyncio.sleep(seconds)
    await redis.rpush("ended", job_id)
    return f"{os.getpid()}"


async def block(ctx: dict[str, Any], seconds: float) -> str:
    """Lets nothing else of its process run."""
    await ctx["redis"].rpush("started", f"{ctx['job_id']} {os.getpid()} {ctx['job_try']}")
    time.sleep(seconds)  # noqa: ASYNC251 - what it is for
    return f"{os.getpid()}"


@job("chaos.die", queue=QUEUE)
@retry()
async def die(ctx: dict[str, Any]) -> None:
    """Takes its process along."""
    await ctx["redis"].rpush("started", f"{ctx['job_id']} {os.getpid()} {ctx['job_try']}")
    os.kill(os.getpid(), signal.SIGKILL)


@job("chaos.die_at_once", queue=QUEUE)
@retry()
async def die_at_once(ctx: dict[str, Any]) -> None:
    """Before anything else can be done."""
    os.kill(os.getpid(), signal.SIGKILL)


@job("chaos.wait", queue=QUEUE)
@retry()
async def wait(ctx: dict[str, Any], seconds: float) -> str:
    """Like `chaos.work`, but does not need Redis meanwhile."""
    await asyncio.sleep(seconds)
    return f"{os.getpid()}"


@job("chaos.newer", queue=QUEUE)
@retry()
async def newer(ctx: dict[str, Any]) -> str:
    """Comes with the next release."""
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
