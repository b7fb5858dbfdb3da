"""Free slots: the number of jobs that a worker may start now."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any


class Capacity:
    """Counts the free slots of one worker.

    Args:
        tasks: The jobs that run now, by id.
        max_jobs: Jobs that may run at once.
        claim_limit: Jobs that may be claimed at once.
        accepting: Return whether jobs may be started at all.
        started: Return the number of jobs started so far.
    """

    def __init__(
        self,
        tasks: Mapping[str, asyncio.Task[Any]],
        *,
        max_jobs: int,
        claim_limit: int,
        accepting: Callable[[], bool],
        started: Callable[[], int],
    ) -> None:
        self.burst = False
        self.burst_limit: int | None = None
        """Jobs that a burst may start; None for all."""
        self._tasks = tasks
        self._max_jobs = max_jobs
        self._claim_limit = claim_limit
        self._accepting = accepting
        self._started = started

    def free(self) -> int:
        """Return the number of jobs that may be started now."""
        if not self._accepting():
            return 0
        free = min(self._max_jobs - len(self._tasks), self._claim_limit)
        if self.burst_limit is not None:
            free = min(free, self.burst_limit - self._started())
        return free

    def idle(self) -> bool:
        """Return whether nothing runs and a job would be started."""
        return not self._tasks and self._accepting()

    def allows_prefetch(self) -> bool:
        """Return whether more jobs may be claimed than can be started."""
        return self.burst_limit is None

    def burst_is_over(self) -> bool:
        """Return whether a limited burst has started all of its jobs."""
        return self.burst_limit is not None and self.burst_limit <= self._started()
