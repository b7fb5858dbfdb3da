"""What goes wrong with arq 0.28's worker, shown on it, and not with ours.

Each test runs on both; on arq's it has to fail, and would be reported if it passed. Its first line
says what arq's worker does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import arq.worker
import pytest
from arq.connections import ArqRedis
from arq.jobs import Job

from jobs.engine import Worker, create_pool
from tests.integration.workers import connect

Kind = type[arq.worker.Worker]
ON_ARQ = pytest.mark.xfail(reason="a defect of arq 0.28")
FAILS_ON_ARQ = [
    pytest.param(arq.worker.Worker, id="arq", marks=ON_ARQ),
    pytest.param(Worker, id="ours"),
]

PoolOf = Callable[[str], Awaitable[ArqRedis]]
POOLS = [pytest.param(connect, id="arq", marks=ON_ARQ), pytest.param(create_pool, id="ours")]


async def quick(ctx: dict[str, Any]) -> str:
    return "done"


async def hang(ctx: dict[str, Any]) -> None:
    await asyncio.sleep(3600)


async def result_of(job: Job | None, timeout: float = 3) -> Any:
    assert job is not None
    return await job.result(timeout=timeout, poll_delay=0.02)


def is_busy(worker: arq.worker.Worker) -> bool:
    return any(not task.done() for task in worker.tasks.values())
