"""Callbacks on their way: handed out in batches when they are due, until someone stored them."""

import asyncio
import heapq
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Final

import structlog

from jobs.clock import Clock
from jobs.voice.protocol import ProviderEvent, Sink

MAX_BATCH: Final = 1_000
_LONGEST_SLEEP: Final = 1.0
"""Real seconds; the machine's clock may be set, or the machine suspended, while we wait."""
_FIRST_REST: Final = 0.05
_LONGEST_REST: Final = 2.0
"""Real seconds between two tries of a sink that fails."""

log = structlog.get_logger(__name__)


class Callbacks:
    """Delivers events at least once, each batch to one of the sinks.

    spacing: real seconds from one batch to the next, so that a batch has many events.
    timeout: real seconds after which a sink that does not return has failed.
    """

    def __init__(self, clock: Clock, *, spacing: float = 0.05, timeout: float = 10.0) -> None:
        self.delivered = 0
        self.failures = 0
        self.idle = asyncio.Event()
        """Set while no event is on its way."""
        self.idle.set()
        self._clock = clock
        self._spacing = spacing
        self._timeout = timeout
        self._waiting: list[tuple[float, int, ProviderEvent | None]] = []
        self._arrivals = count()
        self._in_flight = 0
        self._next_batch_at = 0.0
        self._pumps: dict[Sink, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()

    def send(self, at: float, event: ProviderEvent | None) -> None:
        """Has the event delivered from the business moment `at` (POSIX seconds) on.

        None delivers nothing, and keeps `idle` from being set before that moment.
        """
        heapq.heappush(self._waiting, (at, next(self._arrivals), event))
        self.idle.clear()
        if self._waiting[0][0] == at:
            self._wake.set()

    def attach(self, sink: Sink) -> None:
        """Delivers to this sink too, in turn with the others. Needs a running event loop."""
        self._pumps[sink] = asyncio.get_running_loop().create_task(self._pump(sink))

    async def detach(self, sink: Sink) -> None:
        """Stops delivering to this sink; what it is busy with goes to another."""
        pump = self._pumps.pop(sink)
        pump.cancel()
        await asyncio.wait([pump])

    async def settle(self) -> None:
        """Waits until all that is due by now is delivered."""
        self._wake.set()
        while self._pumps and (self._in_flight or self._seconds_to_next() == 0):
            await self._progress.wait()

    async def close(self) -> None:
        """Delivers no more; what is still on its way is lost."""
        for sink in list(self._pumps):
            await self.detach(sink)

    async def _pump(self, sink: Sink) -> None:
        rest = _FIRST_REST
        while True:
            batch = await self._next_batch()
            try:
                async with asyncio.timeout(self._timeout):
                    await sink(batch)
            except Exception as error:  # noqa: BLE001  # whatever ails the receiver, try again
                self._return(batch)
                self.failures += 1
                log.warning("callbacks_not_stored", events=len(batch), error=type(error).__name__)
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)
            except BaseException:
                self._return(batch)
                raise
            else:
                rest = _FIRST_REST
                self.delivered += len(batch)
                self._done(batch)

    async def _next_batch(self) -> Sequence[ProviderEvent]:
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._next_batch_at - loop.time())
            while not (batch := self._take_due()):
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds_to_next()):
                        await self._wake.wait()
            self._next_batch_at = loop.time() + self._spacing
            return batch

    def _take_due(self) -> list[ProviderEvent]:
        now = self._clock.now().timestamp()
        batch: list[ProviderEvent] = []
        while self._waiting and self._waiting[0][0] <= now and len(batch) < MAX_BATCH:
            _, _, event = heapq.heappop(self._waiting)
            if event is not None:
                batch.append(event)
        self._in_flight += len(batch)
        self._note_progress()
        return batch

    def _return(self, batch: Sequence[ProviderEvent]) -> None:
        now = self._clock.now().timestamp()
        for event in batch:
            self.send(now, event)
        self._done(batch)

    def _done(self, batch: Sequence[ProviderEvent]) -> None:
        self._in_flight -= len(batch)
        self._note_progress()

    def _note_progress(self) -> None:
        if not self._waiting and not self._in_flight:
            self.idle.set()
        self._progress.set()
        self._progress.clear()

    def _seconds_to_next(self) -> float:
        if not self._waiting:
            return _LONGEST_SLEEP
        due = datetime.fromtimestamp(self._waiting[0][0], UTC)
        return min(self._clock.real_delay(due).total_seconds(), _LONGEST_SLEEP)
