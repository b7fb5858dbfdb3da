"""Settings classes whose processes do not want to end."""

import asyncio
from typing import Any

from jobs.engine import EngineSettings, job


@job("stubborn.wait", timeout=600)
async def wait(ctx: dict[Any, Any]) -> None:
    """Ignore every cancellation."""
    await ctx["redis"].set("stubborn", "started")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def hang(ctx: dict[Any, Any]) -> None:
    await ctx["redis"].set("stubborn", "on_shutdown")
    await asyncio.Event().wait()


class HangingHook(EngineSettings):
    queue_name = "stubborn_tasks"
    functions = [wait]
    on_shutdown = hang


class StubbornJob(EngineSettings):
    queue_name = "stubborn_tasks"
    functions = [wait]
