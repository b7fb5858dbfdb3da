"""Heartbeat: renews a worker's leases from a separate thread with a separate event loop.

A job that blocks the worker's event loop therefore keeps its lease.
"""

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
    """Renewal of the leases of one worker.

    If a job blocks the worker's event loop, its lease is renewed until the job's timeout has
    passed. Then the lease expires, and another worker may run the job.

    Args:
        redis: The pool whose options the connection uses.
        queues: The names of the queues.
        lease: Seconds until a lease expires that is not renewed.
        held: Return the claims that the worker holds now.
        on_lost: Receives each claim that the worker has lost, in the worker's loop.
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
        """Start the thread, a daemon: it does not keep the process from exiting."""
        self._worker_loop = asyncio.get_running_loop()
        self._worker_seen = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._renew_leases())
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop the thread and wait for it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(RuntimeError):  # the thread has ended and its loop is closed
                self._loop.call_soon_threadsafe(self._task.cancel)
            await asyncio.to_thread(thread.join)

    def _run(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
        finally:
            self._loop.close()

    async def _renew_leases(self) -> None:
        connections = for_another_loop(self._connections)
        channel = ScriptChannel(connections)
        operations = QueueOperations(channel, self._queues, self._lease)

        async def renew() -> None:
            lost = await operations.renew(self._due())
            try:
                self._worker_loop.call_soon_threadsafe(self._report, lost)
            except RuntimeError:  # the worker's loop was closed without closing the worker
                self._task.cancel()

        try:
            await run_periodically(renew, self._lease / RENEWALS_PER_LEASE)
        finally:
            await channel.close()
            if connections is not self._connections:
                await connections.disconnect()

    def _due(self) -> list[Claim]:
        """Return the claims to renew: all but new ones, and those that block the loop too long."""
        now = time.monotonic()
        claimed_before = now - self._lease / RENEWALS_PER_LEASE
        blocked = now - self._worker_seen > self._lease
        return [
            claim
            for claim in self._held()
            if claim.claimed_at < claimed_before and (claim.deadline > now or not blocked)
        ]

    def _report(self, lost: Sequence[Claim]) -> None:
        """Report lost claims.

        The call runs in the worker's loop. It proves that the loop is not blocked.
        """
        self._worker_seen = time.monotonic()
        for claim in lost:
            self._on_lost(claim)
