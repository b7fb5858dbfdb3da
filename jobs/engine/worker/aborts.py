"""Abort requests: cancels the running jobs for which `Job.abort()` was called."""

from collections.abc import Mapping
from time import time

from arq.connections import ArqRedis
from arq.constants import abort_job_max_age

from jobs.engine.queue import keys
from jobs.engine.worker.execution import CancelReason, Execution


class Aborts:
    """Reads the abort requests in Redis.

    Args:
        redis: The queue's Redis.
        running: The executions of this worker, by job id.
    """

    def __init__(self, redis: ArqRedis, running: Mapping[str, Execution]) -> None:
        self._redis = redis
        self._running = running

    async def cancel_requested(self) -> None:
        """Cancel the jobs that are to be aborted.

        A request that is older than the job meant an earlier job of the same id.
        """
        requests = await self._redis.zrange(keys.ABORT, 0, -1, withscores=True)
        stale = []
        for job_id, requested_ms in requests:
            execution = self._running.get(job_id.decode())
            if execution is None:
                if requested_ms < (time() - abort_job_max_age) * 1000:
                    stale.append(job_id)
            elif requested_ms >= execution.enqueued_ms:
                execution.cancel(CancelReason.ABORT)
        for job_id in stale:
            if not await self._redis.exists(keys.JOB + job_id.decode()):
                await self._redis.zrem(keys.ABORT, job_id)
