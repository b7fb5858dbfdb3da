"""The loop that claims jobs as slots come free, and waits for a change when there are none."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final

from redis.asyncio import ConnectionPool

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.queue.claim import ClaimReply
from jobs.engine.queue.operations import BATCH, QueueOperations
from jobs.engine.worker.capacity import Capacity
from jobs.engine.worker.handoff import Handoff
from jobs.engine.worker.polling import PollingInterval
from jobs.engine.worker.prefetch import Prefetch

IN_FLIGHT: Final = 2
"""Claims under way at once while there is enough to do: Redis puts one together while the jobs of
the other are being started."""


@dataclass(frozen=True, slots=True)
class _Asked:
    answer: asyncio.Task[ClaimReply]
    limit: int
    watch: bool
    at: float


class Fetcher:
    """Fills the slots of one worker.

    pool: whose options the connection has on which jobs are handed to it. with_aborts: the marks
    of `Job.abort()` are read with each claim. tracks: whether the server tells of changes.
    """

    def __init__(
        self,
        claims: QueueOperations,
        slots: Capacity,
        pool: ConnectionPool,
        *,
        with_aborts: bool,
        pauses: PollingInterval,
        tracks: Callable[[], bool],
    ) -> None:
        self.changed = asyncio.Event()
        """The queues may hold something new."""
        self._claims = claims
        self._slots = slots
        self._with_aborts = with_aborts
        self._pauses = pauses
        self._tracks = tracks
        self._asked: deque[_Asked] = deque()
        self._reserve = Prefetch(slots)
        self._handover = Handoff(
            pool, claims.handoff_name, take=self._take, opened=self.changed.set
        )
        self._waits = False
        """Whether producers may hand it a job, so far as it has said."""
        self._became_idle = False
        """That is what changed."""
        self._freeing = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()
        self._looks = False
        self._outside = copy_context()
        self._busy = False
        self._stopping = False

    async def run(self) -> None:
        """Until it is stopped, or in a burst until nothing is left."""
        self._over.clear()
        try:
            await self._claim()
            await self._settle()
        finally:
            self._over.set()

    async def _claim(self) -> None:
        if not self._slots.burst:
            self._handover.start()
        while not self._stopping:
            self._ask()
            if not self._asked:
                if self._slots.burst_is_over():
                    break
                self._freeing.clear()
                await _wait_for(self._freeing, self._pauses.longest)
                continue
            try:
                claimed, asked = await self._answer()
            except TRANSIENT_ERRORS as error:
                await self._pauses.outage(error)
                continue
            self._pauses.recovered()
            self._busy = claimed.remaining is None
            self._waits = self._waits and not claimed.claims
            self._reserve.add(claimed.claims, time.monotonic() - asked.at)
            if self._busy or not asked.watch:
                await asyncio.sleep(0)  # the next claim leaves before the answer of this one is due
            elif self._slots.burst and claimed.remaining == 0:
                break
            else:
                await self._wait(claimed)

    def slot_freed(self) -> None:
        """A slot has come free."""
        self._reserve.start()
        if not self._looks:
            self._looks = True
            # Not in the context of the job that has ended.
            asyncio.get_running_loop().call_soon(self._look, context=self._outside)

    def stop(self) -> None:
        self._stopping = True
        self.changed.set()
        self._freeing.set()

    async def settle(self) -> None:
        """What is not started goes back, so that nobody waits for a lease to lapse. Where `run` is
        still at it, that comes first."""
        await self._over.wait()
        await self._settle()

    async def _settle(self) -> None:
        await self._handover.stop()
        self._reserve.close()
        while self._asked:
            asked = self._asked[0]
            await asyncio.wait([asked.answer])
            self._asked.popleft()
            if not asked.answer.cancelled() and asked.answer.exception() is None:
                self._slots.give_back(asked.answer.result().claims)

    def _look(self) -> None:
        """Slots have come free since the loop's last turn."""
        self._looks = False
        if self._asked and not self._stopping:  # else it is `run`'s turn
            self._ask()
        if not self._waits and self._may_wait():
            self._became_idle = True
            self.changed.set()
        self._freeing.set()

    def _ask(self) -> None:
        """Claim for the free slots, and a little ahead. While there is enough to do, Redis is not
        watched: that costs something for each key."""
        watch = not self._busy
        while len(self._asked) < (IN_FLIGHT if self._busy else 1):
            limit = min(self._wanted(), BATCH)
            if limit <= 0:
                return
            if watch:
                self.changed.clear()
            self._waits = watch and self._may_wait()
            claim = self._claims.claim(
                limit,
                with_aborts=self._with_aborts,
                watch=watch,
                accept_handoff=self._waits if watch else None,
            )
            self._asked.append(_Asked(asyncio.create_task(claim), limit, watch, time.monotonic()))

    def _may_wait(self) -> bool:
        """Whether producers may hand this worker a job: a job that runs may block its loop."""
        return self._handover.listens and self._slots.idle()

    def _take(self, message: bytes) -> None:
        """A producer has handed it a job."""
        self._waits = False
        self._pauses.served()
        self._reserve.add([self._claims.handoff_claim(message)], took=0)

    def _wanted(self) -> int:
        """How many more jobs to claim."""
        coming = sum(asked.limit for asked in self._asked)
        if self._busy and self._slots.claims_ahead():
            return self._reserve.lacks(coming - self._slots.free())
        return self._slots.free() - coming

    async def _answer(self) -> tuple[ClaimReply, _Asked]:
        """The answer to the first claim under way."""
        asked = self._asked[0]
        try:
            # When this is cancelled, the claim goes on, and `settle` gives back what it brings.
            claimed = await asyncio.shield(asked.answer)
        except TRANSIENT_ERRORS:
            self._asked.popleft()
            raise
        self._asked.popleft()
        return claimed, asked

    async def _wait(self, claimed: ClaimReply) -> None:
        pause = self._pauses.until_next(claimed, told=self._tracks())
        if await _wait_for(self.changed, pause) and not self._became_idle:
            await self._pauses.crowd()
        self._became_idle = False


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event`, but not longer; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
