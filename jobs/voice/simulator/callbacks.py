"""Delivery of callbacks: due events go to a sink in batches, again and again until stored."""

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
_MAX_WAIT: Final = 1.0
"""Real seconds; the machine's clock may be set, or the machine suspended, during the wait."""
_MIN_BACKOFF: Final = 0.05
_MAX_BACKOFF: Final = 2.0
"""Real seconds between two deliveries to a sink that fails."""

log = structlog.get_logger(__name__)


class Callbacks:
    """At-least-once delivery of events, each batch to one of the attached sinks.

    Args:
        clock: Business clock; an event is due by business time.
        spacing: Minimum interval between batches, in real seconds: it makes batches larger.
        timeout: Real seconds after which a delivery to a sink has failed.

    Attributes:
        delivered: Number of events that a sink has stored.
        failures: Number of failed deliveries of a batch.
        idle: Set while no event is pending or in flight.
    """

    def __init__(self, clock: Clock, *, spacing: float = 0.05, timeout: float = 10.0) -> None:
        self.delivered = 0
        self.failures = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._clock = clock
        self._spacing = spacing
        self._timeout = timeout
        self._pending: list[tuple[float, int, ProviderEvent | None]] = []
        self._order = count()
        self._in_flight = 0
        self._next_batch_at = 0.0
        self._pumps: dict[Sink, asyncio.Task[None]] = {}
        self._batch_lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()

    def send(self, at: float, event: ProviderEvent | None) -> None:
        """Schedule an event.

        Args:
            at: Business time at which the event is due, in POSIX seconds.
            event: The event; None delivers nothing, but delays `idle` until that time.
        """
        heapq.heappush(self._pending, (at, next(self._order), event))
        self.idle.clear()
        if self._pending[0][0] == at:
            self._wake.set()

    def attach(self, sink: Sink) -> None:
        """Start delivering to a sink, in turn with the others; requires a running event loop."""
        self._pumps[sink] = asyncio.get_running_loop().create_task(self._pump(sink))

    async def detach(self, sink: Sink) -> None:
        """Stop delivering to a sink; its batch in flight goes to another sink."""
        pump = self._pumps.pop(sink)
        pump.cancel()
        await asyncio.wait([pump])

    async def settle(self) -> None:
        """Wait until all events that are due now are delivered."""
        self._wake.set()
        while self._pumps and (self._in_flight or self._seconds_to_next() == 0):
            await self._progress.wait()

    async def close(self) -> None:
        """Stop all deliveries; events that are pending or in flight are lost."""
        for sink in list(self._pumps):
            await self.detach(sink)

    async def _pump(self, sink: Sink) -> None:
        backoff = _MIN_BACKOFF
        while True:
            batch = await self._next_batch()
            try:
                async with asyncio.timeout(self._timeout):
                    await sink(batch)
            except Exception as error:  # noqa: BLE001  # any failure of the sink is retried
                self._reschedule(batch)
                self.failures += 1
                log.warning(
                    "callback delivery failed, retrying",
                    events=len(batch),
                    error=type(error).__name__,
                )
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _MAX_BACKOFF)
            except BaseException:
                self._reschedule(batch)
                raise
            else:
                backoff = _MIN_BACKOFF
                self.delivered += len(batch)
                self._finish(batch)

    async def _next_batch(self) -> Sequence[ProviderEvent]:
        loop = asyncio.get_running_loop()
        async with self._batch_lock:
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
        while self._pending and self._pending[0][0] <= now and len(batch) < MAX_BATCH:
            _, _, event = heapq.heappop(self._pending)
            if event is not None:
                batch.append(event)
        self._in_flight += len(batch)
        self._notify_progress()
        return batch

    def _reschedule(self, batch: Sequence[ProviderEvent]) -> None:
        now = self._clock.now().timestamp()
        for event in batch:
            self.send(now, event)
        self._finish(batch)

    def _finish(self, batch: Sequence[ProviderEvent]) -> None:
        self._in_flight -= len(batch)
        self._notify_progress()

    def _notify_progress(self) -> None:
        if not self._pending and not self._in_flight:
            self.idle.set()
        self._progress.set()
        self._progress.clear()

    def _seconds_to_next(self) -> float:
        if not self._pending:
            return _MAX_WAIT
        due = datetime.fromtimestamp(self._pending[0][0], UTC)
        return min(self._clock.real_delay(due).total_seconds(), _MAX_WAIT)
