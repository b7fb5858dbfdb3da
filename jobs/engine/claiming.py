"""The loop that claims jobs as slots come free, and waits for a change when there are none."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from jobs.engine.channel import OUTAGE
from jobs.engine.claims import BATCH, Claim, Claimed, Claims
from jobs.engine.pauses import Pauses

IN_FLIGHT: Final = 2
"""Claims under way at once while there is enough to do: Redis puts one together while the jobs of
the other are being started."""


class Slots(Protocol):
    """The side of a worker that runs what is claimed."""

    burst: bool

    def free(self) -> int:
        """How many jobs may be claimed now."""
        ...

    def burst_is_over(self) -> bool:
        """Whether a burst has had the jobs that it may have."""
        ...

    def start(self, claims: Sequence[Claim]) -> None:
        """Start what was claimed."""
        ...

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Put back what was claimed, as it was."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    answer: asyncio.Task[Claimed]
    limit: int
    watch: bool


class Claiming:
    """Fills the slots of one worker.

    with_aborts: the marks of `Job.abort()` are read with each claim. tracks: whether the server
    tells of changes.
    """

    def __init__(
        self,
        claims: Claims,
        slots: Slots,
        *,
        with_aborts: bool,
        pauses: Pauses,
        tracks: Callable[[], bool],
    ) -> None:
        self.changed = asyncio.Event()
        """The queues may hold something new."""
        self.freed = asyncio.Event()
        """A slot has come free."""
        self._claims = claims
        self._slots = slots
        self._with_aborts = with_aborts
        self._pauses = pauses
        self._tracks = tracks
        self._asked: deque[_Asked] = deque()
        self._busy = False
        self._stopping = False

    async def run(self) -> None:
        """Until it is stopped, or in a burst until nothing is left."""
        while not self._stopping:
            self._ask()
            if not self._asked:
                if self._slots.burst_is_over():
                    break
                self.freed.clear()
                await _wait_for(self.freed, self._pauses.longest)
                continue
            try:
                claimed, watched = await self._answer()
            except OUTAGE as error:
                await self._pauses.outage(error)
                continue
            self._pauses.recovered()
            self._slots.start(claimed.claims)
            self._busy = claimed.left is None
            if self._busy or not watched:
                await asyncio.sleep(0)  # the next claim leaves before the answer of this one is due
            elif self._slots.burst and claimed.left == 0:
                break
            else:
                await self._wait(claimed)
        await self.settle()

    def stop(self) -> None:
        self._stopping = True
        self.changed.set()
        self.freed.set()

    async def settle(self) -> None:
        """What claims under way bring goes back, so that nobody waits for a lease to lapse."""
        while self._asked:
            asked = self._asked[0]
            await asyncio.wait([asked.answer])
            self._asked.popleft()
            if not asked.answer.cancelled() and asked.answer.exception() is None:
                self._slots.give_back(asked.answer.result().claims)

    def _ask(self) -> None:
        """Claim for the free slots. While there is enough to do, Redis is not watched: that costs
        something for each key."""
        watch = not self._busy
        while len(self._asked) < (IN_FLIGHT if self._busy else 1):
            limit = min(self._slots.free() - sum(asked.limit for asked in self._asked), BATCH)
            if limit <= 0:
                return
            if watch:
                self.changed.clear()
            claim = self._claims.claim(limit, with_aborts=self._with_aborts, watch=watch)
            self._asked.append(_Asked(asyncio.create_task(claim), limit, watch))

    async def _answer(self) -> tuple[Claimed, bool]:
        """The answer to the first claim under way, and whether it watches the queues."""
        asked = self._asked[0]
        try:
            # When this is cancelled, the claim goes on, and `settle` gives back what it brings.
            claimed = await asyncio.shield(asked.answer)
        except OUTAGE:
            self._asked.popleft()
            raise
        self._asked.popleft()
        return claimed, asked.watch

    async def _wait(self, claimed: Claimed) -> None:
        pause = self._pauses.until_next(claimed, told=self._tracks())
        if await _wait_for(self.changed, pause):
            await self._pauses.crowd()


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event`, but not longer; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
