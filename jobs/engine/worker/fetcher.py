"""The fetcher: claims jobs as slots come free, and waits for a change while there are none."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final

from redis.asyncio import ConnectionPool

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.queue.claim import Claim, ClaimReply
from jobs.engine.queue.operations import BATCH, QueueOperations
from jobs.engine.worker.capacity import Capacity
from jobs.engine.worker.handoff import Handoff
from jobs.engine.worker.polling import PollingInterval
from jobs.engine.worker.prefetch import Prefetch

MAX_CONCURRENT_CLAIMS: Final = 2
"""Claims under way at once while the queue is busy: Redis prepares one batch while the worker
starts the jobs of the other."""


@dataclass(frozen=True, slots=True)
class _PendingClaim:
    reply: asyncio.Task[ClaimReply]
    limit: int
    watch: bool
    since: float


class Fetcher:
    """Fills the free slots of one worker.

    Args:
        operations: The queues.
        capacity: The worker's free slots.
        pool: The options for the connection on which producers hand jobs to the worker.
        start: Start claimed jobs.
        release: Requeue claimed jobs as they were.
        lease: Seconds that a claim is held without being renewed.
        with_aborts: Read abort requests with each claim.
        polling: The time between claims.
        tracks: Return whether Redis notifies of changes.
    """

    def __init__(
        self,
        operations: QueueOperations,
        capacity: Capacity,
        pool: ConnectionPool,
        *,
        start: Callable[[Sequence[Claim]], None],
        release: Callable[[Sequence[Claim]], None],
        lease: float,
        with_aborts: bool,
        polling: PollingInterval,
        tracks: Callable[[], bool],
    ) -> None:
        self.changed = asyncio.Event()
        """Set when the queues may hold something new."""
        self._operations = operations
        self._capacity = capacity
        self._release = release
        self._with_aborts = with_aborts
        self._polling = polling
        self._tracks = tracks
        self._pending: deque[_PendingClaim] = deque()
        self._prefetch = Prefetch(free=capacity.free, start=start, release=release, lease=lease)
        self._handoff = Handoff(
            pool, operations.handoff_name, take=self._take, opened=self.changed.set
        )
        self._announced = False
        """Producers may hand a job to this worker, as far as it has told Redis."""
        self._became_idle = False
        """The worker itself set `changed`."""
        self._slot_freed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._look_scheduled = False
        self._outside = copy_context()
        self._busy = False
        self._stopping = False

    # --- main loop

    async def run(self) -> None:
        """Claim until `stop` is called, or until a burst has found the queues empty."""
        self._stopped.clear()
        try:
            await self._claim_in_turn()
            await self._release_unstarted()
        finally:
            self._stopped.set()

    async def _claim_in_turn(self) -> None:
        if not self._capacity.burst:
            self._handoff.start()
        while not self._stopping:
            self._request_claims()
            if not self._pending:  # every slot is taken
                if self._capacity.burst_is_over():
                    break
                self._slot_freed.clear()
                await _wait_for(self._slot_freed, self._polling.longest)
                continue
            try:
                reply, claim = await self._next_reply()
            except TRANSIENT_ERRORS as error:
                await self._polling.back_off(error)
                continue
            self._polling.recovered()
            self._busy = reply.remaining is None
            self._announced = self._announced and not reply.claims
            self._prefetch.add(reply.claims, time.monotonic() - claim.since)
            if self._busy or not claim.watch:
                await asyncio.sleep(0)  # sends the next claim before this one's reply is handled
            elif self._capacity.burst and reply.remaining == 0:
                break
            else:
                await self._wait(reply)

    def slot_freed(self) -> None:
        """Note that a slot has come free."""
        self._prefetch.start_waiting()
        if not self._look_scheduled:
            self._look_scheduled = True
            # The claim must not inherit the context of the job that has ended.
            asyncio.get_running_loop().call_soon(self._look, context=self._outside)

    def stop(self) -> None:
        """Claim no more."""
        self._stopping = True
        self.changed.set()
        self._slot_freed.set()

    async def settle(self) -> None:
        """Requeue claims that are not started, so that nobody waits for their leases to expire."""
        await self._stopped.wait()
        await self._release_unstarted()

    async def _release_unstarted(self) -> None:
        await self._handoff.stop()
        self._prefetch.close()
        while self._pending:
            claim = self._pending[0]
            await asyncio.wait([claim.reply])
            self._pending.popleft()
            if not claim.reply.cancelled() and claim.reply.exception() is None:
                self._release(claim.reply.result().claims)

    def _look(self) -> None:
        """React to slots that have come free since the loop's last turn."""
        self._look_scheduled = False
        if self._pending and not self._stopping:  # else the main loop requests claims
            self._request_claims()
        if not self._announced and self._may_be_handed_jobs():
            self._became_idle = True
            self.changed.set()
        self._slot_freed.set()

    # --- claims

    def _request_claims(self) -> None:
        """Claim for the free slots, and for the prefetch while the queue is busy.

        A busy queue is not watched: Redis tracks each key at a cost.
        """
        watch = not self._busy
        while len(self._pending) < (MAX_CONCURRENT_CLAIMS if self._busy else 1):
            limit = min(self._wanted(), BATCH)
            if limit <= 0:
                return
            if watch:
                self.changed.clear()
            self._announced = watch and self._may_be_handed_jobs()
            claim = self._operations.claim(
                limit,
                with_aborts=self._with_aborts,
                watch=watch,
                accept_handoff=self._announced if watch else None,
            )
            task = asyncio.create_task(claim)
            self._pending.append(_PendingClaim(task, limit, watch, time.monotonic()))

    def _wanted(self) -> int:
        """Return the number of jobs to claim beyond those that pending claims may bring."""
        requested = sum(claim.limit for claim in self._pending)
        if self._busy and self._capacity.allows_prefetch():
            return self._prefetch.missing(requested - self._capacity.free())
        return self._capacity.free() - requested

    async def _next_reply(self) -> tuple[ClaimReply, _PendingClaim]:
        """Wait for the reply to the oldest pending claim."""
        claim = self._pending[0]
        try:
            # If this is canceled, the claim goes on, and `settle` requeues what it brings.
            reply = await asyncio.shield(claim.reply)
        except TRANSIENT_ERRORS:
            self._pending.popleft()
            raise
        self._pending.popleft()
        return reply, claim

    async def _wait(self, reply: ClaimReply) -> None:
        seconds = self._polling.until_next(reply, notified=self._tracks())
        if await _wait_for(self.changed, seconds) and not self._became_idle:
            await self._polling.stagger()
        self._became_idle = False

    # --- hand-off

    def _may_be_handed_jobs(self) -> bool:
        """Return whether the worker is idle: a running job may block the event loop."""
        return self._handoff.listening and self._capacity.idle()

    def _take(self, message: bytes) -> None:
        """Start a job that a producer has claimed for this worker."""
        self._announced = False
        self._polling.handed_job()
        self._prefetch.add([self._operations.handoff_claim(message)], took=0)


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait up to `seconds` for `event`; return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
