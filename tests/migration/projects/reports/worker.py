"""Jobs of the reports: each records in Redis what it received."""

import asyncio
from typing import Any

from .model import Format, Period
from .settings import REDIS


async def build_report(ctx: dict[Any, Any], period: Period, output: Format) -> Period:
    await ctx["redis"].rpush("done", f"report {period.days} {output.name}")
    await ctx["redis"].enqueue_job("archive_report", period, output)
    return period


async def archive_report(ctx: dict[Any, Any], period: Period, output: Format) -> None:
    await ctx["redis"].rpush("done", f"archive {period.days} {output.name}")


async def export_all(ctx: dict[Any, Any], period: Period, seconds: float) -> int:
    await ctx["redis"].rpush("started", f"export {period.days}")
    if ctx["job_try"] == 1:
        await asyncio.sleep(seconds)
    await ctx["redis"].rpush("done", f"export {period.days}")
    return period.days


class WorkerSettings:
    functions = [build_report, archive_report, export_all]
    redis_settings = REDIS
    max_tries = 3
