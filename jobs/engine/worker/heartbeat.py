"""Keeps a worker's leases alive from a thread of its own, so that a job which blocks the event loop
does not lose them."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool

from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.connection.urls import for_another_loop
from jobs.engine.queue.claim import Claim
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.worker.periodic import run_periodically

RENEWALS_PER_LEASE: Final = 3


class Heartbeat:
    """Renews the leases of one worker.

    held: the claims that the worker holds at this moment. on_lost is called, in the worker's loop,
    with a claim that turned out to be someone else's. While that loop is blocked, a job's lease is
    renewed until its time is over, and no longer: then it may run elsewhere.
    """

    def __init__(
        self,
        redis: ArqRedis,
        queues: Sequence[str],
        lease: float,
        *,
        held: Callable[[], list[Claim]],
        on_lost: Callable[[Claim], None],
    ) -> None:
        # redis-py leaves open whether the pool is asyncio's; arq's always is.
        self._connections: ConnectionPool = redis.connection_pool  # pyright: ignore[reportAttributeAccessIssue]
        self._queues = queues
        self._lease = lease
        self._held = held
        self._on_lost = on_lost
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a thread that does not keep its process from ending."""
        self._home = asyncio.get_running_loop()
        self._answered = time.monotonic()
        self._away = asyncio.new_event_loop()
        self._beating = self._away.create_task(self._beat())
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                self._away.call_soon_threadsafe(self._beating.cancel)
            await asyncio.to_thread(thread.join)

    def _run(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                self._away.run_until_complete(self._beating)
        finally:
            self._away.close()

    async def _beat(self) -> None:
        connections = for_another_loop(self._connections)
        channel = ScriptChannel(connections)
        claims = QueueOperations(channel, self._queues, self._lease)

        async def renew() -> None:
            lost = await claims.renew(self._due())
            try:
                self._home.call_soon_threadsafe(self._report, lost)
            except RuntimeError:  # that loop is closed: the worker is gone, though nobody closed it
                self._beating.cancel()

        try:
            await run_periodically(renew, self._lease / RENEWALS_PER_LEASE)
        finally:
            await channel.close()
            if connections is not self._connections:
                await connections.disconnect()

    def _due(self) -> list[Claim]:
        """What would otherwise lapse soon."""
        now = time.monotonic()
        young = now - self._lease / RENEWALS_PER_LEASE
        blocked = now - self._answered > self._lease
        return [
            claim
            for claim in self._held()
            if claim.since < young and (claim.until > now or not blocked)
        ]

    def _report(self, lost: Sequence[Claim]) -> None:
        """In the worker's loop, which is not blocked, then."""
        self._answered = time.monotonic()
        for claim in lost:
            self._on_lost(claim)
