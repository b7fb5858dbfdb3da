"""Settings classes for workers that are hard to stop, or easy to stop by mistake."""

import asyncio
import multiprocessing
import time
from typing import Any

from jobs.engine import EngineSettings, job


@job("stubborn.wait", timeout=600)
async def wait(ctx: dict[str, Any]) -> None:
    """Ignore every cancellation."""
    await ctx["redis"].set("stubborn", "started")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def hang(ctx: dict[str, Any]) -> None:
    await ctx["redis"].set("stubborn", "on_shutdown")
    await asyncio.Event().wait()


class HangingHook(EngineSettings):
    queue_name = "stubborn_tasks"
    functions = [wait]
    on_shutdown = hang


@job("stubborn.fork")
async def fork(ctx: dict[str, Any]) -> int | None:
    """Terminate a forked child; return its exit code."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    child.start()
    child.terminate()
    await asyncio.to_thread(child.join, 30)
    return child.exitcode


@job("stubborn.exit")
async def leave(ctx: dict[str, Any]) -> None:
    raise SystemExit(3)


class Forking(EngineSettings):
    queue_name = "stubborn_tasks"
    functions = [fork, leave]


class StubbornJob(EngineSettings):
    queue_name = "stubborn_tasks"
    functions = [wait]
