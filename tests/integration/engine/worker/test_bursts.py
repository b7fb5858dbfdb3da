"""Any number of jobs, any number of slots: a burst has an end, and nothing is left of it."""

import asyncio
from random import Random
from typing import Any

import pytest
from arq.worker import func

from jobs.engine import JobRequest, Worker, create_pool, deserialize, serialize

QUEUE = "arq:queue"
BURSTS = 8


@pytest.mark.parametrize("seed", range(4))
async def test_a_burst_ends_with_all_jobs(redis_url: str, seed: int) -> None:
    """Ends and starts that fall together in every way must not leave a job to its lease."""
    random = Random(seed)

    async def some(ctx: dict[str, Any]) -> None:
        kind = random.random()
        if kind < 0.6:
            await asyncio.sleep(0 if kind < 0.3 else 0.004 * random.random())

    async with await create_pool(redis_url) as pool:
        for _ in range(BURSTS):
            jobs = random.choice([1, 3, 50, 99, 100, 101, 200, 500])
            await pool.enqueue_many([JobRequest("some", queue=QUEUE)] * jobs)
            worker = Worker(
                [func(some, name="some")],
                redis_pool=await create_pool(redis_url),
                job_serializer=serialize,
                job_deserializer=deserialize,
                max_jobs=random.choice([1, 2, 5, 100, 300]),
                keep_result=0,
                burst=True,
                handle_signals=False,
            )
            async with asyncio.timeout(worker.lease - 1):
                await worker.main()
            assert worker.jobs_complete == jobs
            assert not await pool.keys("arq:[!h]*")  # but for the sign of life
            await worker.close()
