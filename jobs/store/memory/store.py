"""The store in memory: transactions, and the jobs that they enqueue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from jobs.clock import Clock
from jobs.engine.client.request import JobRequest
from jobs.engine.queue.serializer import serialize
from jobs.store.ids import TimeOrderedIds
from jobs.store.memory.analytics import MemoryAnalytics
from jobs.store.memory.calls import MemoryCalls
from jobs.store.memory.campaigns import MemoryCampaigns
from jobs.store.memory.leads import MemoryLeads
from jobs.store.memory.state import State
from jobs.store.protocol import Publish
from jobs.store.relay import OLD_ENOUGH, keep_relaying

log = structlog.get_logger(__name__)


class MemoryWork:
    """Implements `protocol.Work` over a copy of the state."""

    def __init__(self, state: State, new_id: TimeOrderedIds, change: int) -> None:
        self.leads = MemoryLeads(state, new_id)
        self.campaigns = MemoryCampaigns(state, new_id)
        self.calls = MemoryCalls(state, change)
        self.analytics = MemoryAnalytics(state, change)
        self.enqueued: list[JobRequest] = []
        self._new_id = new_id

    def enqueue(
        self, function: str, /, *args: object, defer_until: datetime | None = None, **kwargs: object
    ) -> UUID:
        job_id = self._new_id()
        self.enqueued.append(
            JobRequest(function, args, kwargs, job_id=str(job_id), defer_until=defer_until)
        )
        return job_id


class MemoryStore:
    """Implements `protocol.Store`, one transaction at a time.

    Args:
        clock: The time of ids.
        publish: Receives the jobs of committed transactions; without it they are kept in
            `enqueued` only.
    """

    def __init__(self, *, clock: Clock, publish: Publish | None = None) -> None:
        self.enqueued: list[JobRequest] = []
        """The follow-up jobs of all committed transactions, in order."""
        self._clock = clock
        self._publish = publish
        self._new_id = TimeOrderedIds(clock)
        self._state = State()
        self._outbox: list[tuple[datetime, JobRequest]] = []
        self._change = 0
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None
        self._written = asyncio.Event()
        self._relaying: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryWork]:
        if self._holder is not None and self._holder is asyncio.current_task():
            raise RuntimeError("a transaction was begun within another one of the same task")
        async with self._lock:
            self._holder = asyncio.current_task()
            try:
                self._change += 1
                state = self._state.copy()
                work = MemoryWork(state, self._new_id, self._change)
                yield work
                for job in work.enqueued:
                    serialize((job.args, job.kwargs))
                self._state = state
            finally:
                self._holder = None
        await self._committed(work.enqueued)

    async def _committed(self, jobs: list[JobRequest]) -> None:
        self.enqueued += jobs
        if self._publish is None or not jobs:
            return
        now = self._clock.now()
        rows = [(now, job) for job in jobs]
        self._outbox += rows
        self._written.set()
        try:
            await self._publish(jobs)
        except Exception as error:  # noqa: BLE001  # the commit stands; the relay publishes later
            log.warning("outbox.publish_failed", jobs=len(jobs), error=type(error).__name__)
            return
        self._outbox = [row for row in self._outbox if row not in rows]

    async def relay(self, older_than: timedelta, limit: int = 1000) -> int:
        if self._publish is None:
            return 0
        before = self._clock.ago(older_than)
        rows = [row for row in self._outbox if row[0] <= before][:limit]
        if rows:
            await self._publish([job for _, job in rows])
            self._outbox = [row for row in self._outbox if row not in rows]
        return len(rows)

    def keep_relaying(self) -> None:
        if self._relaying is None:
            self._relaying = asyncio.create_task(
                keep_relaying(lambda: nullcontext(self._written), lambda _: self.relay(OLD_ENOUGH))
            )

    async def outbox_size(self) -> int:
        return len(self._outbox)

    async def close(self) -> None:
        if self._relaying is not None:
            self._relaying.cancel()
            await asyncio.wait([self._relaying])
