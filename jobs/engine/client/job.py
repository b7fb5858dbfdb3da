"""What a producer learns of a job that it has enqueued."""

import asyncio
from typing import Any, Final

import arq.jobs

from jobs.engine.queue.keys import RESULT

_SOONEST: Final = 0.005
_LATEST: Final = 0.5
"""Seconds between two looks at a result; the latter is arq's."""
_SHARE: Final = 0.1
"""Of the time waited so far: what a look comes too late at most."""


class Job(arq.jobs.Job):
    """arq's, whose result is there soon after the job has ended."""

    async def result(
        self,
        timeout: float | None = None,
        *,
        poll_delay: float | None = None,
        pole_delay: float | None = None,
    ) -> Any:
        """As in arq. poll_delay: seconds between two looks; by default few, and more as time goes.

        Raises what the job raised; TimeoutError after `timeout` seconds; ResultNotFound where there
        is neither a result nor a job.
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
            await asyncio.sleep(min(max(waited * _SHARE, _SOONEST), _LATEST))
        return await super().result(timeout)

    async def info(self) -> arq.jobs.JobDef | None:
        """As in arq. A job that runs has its due time as its score, as under arq's worker; ours
        keeps the negative of it in the queue."""
        info = await super().info()
        if info is not None and info.score is not None:
            info.score = abs(info.score)
        return info

    async def abort(self, *, timeout: float | None = None, poll_delay: float = 0.5) -> bool:
        """As in arq, which goes by `info`. A job that runs, and whose due time is still to come by
        this machine's clock, is no deferred one: to move it could lose its result."""
        its = arq.jobs.Job(self.job_id, self._redis, self._queue_name, self._deserializer)
        return await its.abort(timeout=timeout, poll_delay=poll_delay)

    async def _is_pending(self) -> bool:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.exists(RESULT + self.job_id)
            pipe.zscore(self._queue_name, self.job_id)
            has_result, place = await pipe.execute()
        return not has_result and place is not None
