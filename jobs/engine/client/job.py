"""A producer's handle of an enqueued job."""

import asyncio
from typing import Any, Final

import arq.jobs

from jobs.engine.queue.keys import RESULT

_MIN_DELAY: Final = 0.005
_MAX_DELAY: Final = 0.5
"""Seconds between two polls for a result; the longer one is arq's."""
_DELAY_SHARE: Final = 0.1
"""The delay as a share of the time waited so far."""


class Job(arq.jobs.Job):
    """arq's handle, which returns the result soon after the job has ended."""

    async def result(
        self,
        timeout: float | None = None,
        *,
        poll_delay: float | None = None,
        pole_delay: float | None = None,
    ) -> Any:
        """Wait for the result.

        Args:
            timeout: Seconds to wait; None for no limit.
            poll_delay: Seconds between two polls; by default few at first, then more.
            pole_delay: arq's former name of `poll_delay`.

        Raises:
            TimeoutError: There is no result after `timeout`.
            ResultNotFound: There is neither a result nor a job.
            Exception: What the job raised.
        """
        delay = pole_delay or poll_delay
        if delay is not None:
            return await super().result(timeout, poll_delay=delay)
        clock = asyncio.get_running_loop().time
        start = clock()
        while await self._is_pending():
            waited = clock() - start
            if timeout is not None and waited > timeout:
                raise TimeoutError
            await asyncio.sleep(min(max(waited * _DELAY_SHARE, _MIN_DELAY), _MAX_DELAY))
        return await super().result(timeout)

    async def info(self) -> arq.jobs.JobDef | None:
        """Return the job's definition and score, as arq does.

        While a job runs, our worker keeps the negated score in the queue. The score returned here
        is the due time, as under arq's worker.
        """
        info = await super().info()
        if info is not None and info.score is not None:
            info.score = abs(info.score)
        return info

    async def abort(self, *, timeout: float | None = None, poll_delay: float = 0.5) -> bool:
        """Abort the job, as arq does.

        arq takes a job with a future due time for a deferred one and moves it, which could lose the
        result of a running job. So arq's handle, which sees the negated score, decides.
        """
        handle = arq.jobs.Job(self.job_id, self._redis, self._queue_name, self._deserializer)
        return await handle.abort(timeout=timeout, poll_delay=poll_delay)

    async def _is_pending(self) -> bool:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.exists(RESULT + self.job_id)
            pipe.zscore(self._queue_name, self.job_id)
            has_result, score = await pipe.execute()
        return not has_result and score is not None
