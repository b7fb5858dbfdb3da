"""Producer: `python -m reports.app build|export DAYS [DELAY]` orders a report."""

import asyncio
import sys
from datetime import date, timedelta

from arq import create_pool

from .model import Format, Period
from .settings import REDIS

FIRST = date(2026, 3, 1)


async def main(kind: str, days: int, delay: float = 0) -> None:
    period = Period(FIRST, FIRST + timedelta(days=days - 1))
    redis = await create_pool(REDIS)
    if kind == "export":
        job = await redis.enqueue_job("export_all", period, 60.0)
    else:
        job = await redis.enqueue_job("build_report", period, Format.PDF, _defer_by=delay)
    if job is not None:
        print(job.job_id)
    await redis.aclose(close_connection_pool=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:])))
