"""How long the jobs of a worker that fell silent take until they go on elsewhere."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError

from jobs.chaos.schedule import WORKERS, Fault, is_outage, out_of_work
from jobs.engine import Pool
from jobs.engine.monitoring.health import workers
from jobs.engine.queue.inspection import holders

POLL: Final = 0.05
PATIENCE: Final = 60.0
AFTERWARDS: Final = 3.0
"""Seconds after an outage of Redis for which the workers are busy with what it left."""


@dataclass(frozen=True, slots=True)
class Span:
    """When a fault really was there, by `time.monotonic()`: processes take their time to start."""

    fault: Fault
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """fault: that made the worker fall silent, at `since`, by `time.monotonic()`. jobs: that it
    held. seconds: until none of them waited for it any more; PATIENCE where that did not come
    about. last: for which jobs it took so long, and whose they were until then."""

    fault: Fault
    since: float
    jobs: int
    seconds: float
    last: Mapping[str, str]

    def is_disturbed(self, spans: Iterable[Span]) -> bool:
        """Whether Redis was away meanwhile, or each other worker was out of work at some time."""
        others = [span for span in spans if span.fault != self.fault and self._meets(span)]
        if any(is_outage(span.fault) for span in others):
            return True
        out = {worker for span in others for worker in out_of_work(span.fault)}
        return len(out | out_of_work(self.fault)) == WORKERS

    def _meets(self, span: Span) -> bool:
        over = span.ended + AFTERWARDS * is_outage(span.fault)
        return span.began < self.since + self.seconds and self.since < over


class Recoveries:
    """Watches over workers that fall silent; `seen` has what it saw, and `bereft` how often each
    job's worker did, for Redis at least."""

    def __init__(self, pool: Pool) -> None:
        self.seen: list[Recovery] = []
        self.bereft: Counter[str] = Counter()
        self._pool = pool
        self._queues = list(pool.queues.all())

    async def worker_of(self, pid: int | None) -> str | None:
        """The id of the worker that runs as this process."""
        try:
            return next(
                (one.worker_id for one in await workers(self._pool) if one.pid == pid), None
            )
        except (RedisError, OSError):
            return None

    async def watch(self, worker_id: str, fault: Fault) -> None:
        """To be called when the worker has just fallen silent; returns when its jobs go on."""
        since = time.monotonic()
        held = await self.note(worker_id)
        if not held:
            return
        waiting: Mapping[str, str] = dict.fromkeys(held, "not looked at")
        last = waiting
        while waiting and time.monotonic() - since < PATIENCE:
            await asyncio.sleep(POLL)
            try:
                last, waiting = waiting, await self._still(waiting, worker_id)
            except (RedisError, OSError):
                continue
        seconds = round(time.monotonic() - since, 2)
        self.seen.append(Recovery(fault, since, len(held), seconds, waiting or last))

    async def note(self, worker_id: str) -> frozenset[str]:
        """To be called when the worker can renew no lease any more; the jobs that it holds, which
        count as bereft of it. Of a Redis that is away nothing is known."""
        try:
            found = await holders(self._pool, self._queues)
        except (RedisError, OSError):
            return frozenset()
        held = frozenset(job_id for job_id, holder in found.items() if holder == worker_id)
        self.bereft.update(held)
        return held

    async def _still(self, job_ids: Iterable[str], worker_id: str) -> Mapping[str, str]:
        """Those that neither run elsewhere nor are over: nobody's, or still the silent worker's."""
        found = await holders(self._pool, self._queues)
        whose = {None: "nobody's", worker_id: "the silent worker's"}
        return {one: whose[found[one]] for one in job_ids if found.get(one, "over") in whose}
