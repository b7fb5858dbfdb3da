"""A job that ends processes, its own or a child, does not end the worker."""

import asyncio
import signal

from jobs.engine import DeadLetterStore, Pool
from jobs.testing.waiting import wait_until
from tests.integration.engine.worker.test_shutdown import QUEUE, worker_process


async def test_terminated_fork_does_not_stop_the_worker(pool: Pool, redis_url: str) -> None:
    async with worker_process(redis_url, "Forking") as process:
        for _ in range(3):
            job = await pool.enqueue_job("stubborn.fork", _queue_name=QUEUE)
            assert job is not None
            assert await job.result(timeout=30) == -signal.SIGTERM
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_exit_of_a_job_is_the_jobs_failure(pool: Pool, redis_url: str) -> None:
    store = DeadLetterStore(pool)
    async with worker_process(redis_url, "Forking") as process:
        job = await pool.enqueue_job("stubborn.exit", _queue_name=QUEUE, _job_try=9)
        assert job is not None
        await wait_until(lambda: store.get(job.job_id), timeout=30)
        neighbor = await pool.enqueue_job("stubborn.fork", _queue_name=QUEUE)
        assert neighbor is not None
        assert await neighbor.result(timeout=30) == -signal.SIGTERM
        assert process.returncode is None
    dead_letter = await store.get(job.job_id)
    assert dead_letter is not None
    assert dead_letter.error_class == "SystemExit"
    assert "in leave" in dead_letter.traceback
