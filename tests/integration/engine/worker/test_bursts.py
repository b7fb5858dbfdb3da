"""A burst ends, for any number of jobs and slots, and leaves nothing in Redis."""

import asyncio
from random import Random
from typing import Any

import pytest
from arq.worker import func

from jobs.engine import JobRequest, Worker, create_pool, deserialize, serialize

QUEUE = "arq:queue"
BURSTS = 8


@pytest.mark.parametrize("seed", range(4))
async def test_burst_ends_with_all_jobs(redis_url: str, seed: int) -> None:
    """No job waits for its lease to expire, however starts and ends of jobs coincide."""
    random = Random(seed)

    async def work(ctx: dict[str, Any]) -> None:
        duration = random.random()
        if duration < 0.6:
            await asyncio.sleep(0 if duration < 0.3 else 0.004 * random.random())

    async with await create_pool(redis_url) as pool:
        for _ in range(BURSTS):
            jobs = random.choice([1, 3, 50, 99, 100, 101, 200, 500])
            await pool.enqueue_many([JobRequest("work", queue=QUEUE)] * jobs)
            worker = Worker(
                [func(work, name="work")],
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
            assert not await pool.keys("arq:[!h]*")  # all but arq's health-check key
            await worker.close()
