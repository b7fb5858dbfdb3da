"""The completer: sends completions to Redis in batches, and keeps trying during outages."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Final, cast

from redis.exceptions import ResponseError

from jobs.engine.connection.failures import TRANSIENT_ERRORS, is_transient
from jobs.engine.connection.outage import Outage
from jobs.engine.queue.claim import Completion
from jobs.engine.queue.operations import BATCH, QueueOperations
from jobs.engine.queue.outcome import Outcome

logger = logging.getLogger("jobs.worker")

MAX_SENDERS: Final = 2
"""Calls under way at once, if there is a whole batch for the second: Redis works on one while the
worker packs the next."""
_MAX_ATTEMPTS: Final = 3
"""Calls for one completion that Redis permanently refuses."""
_UNPACKABLE: Final = (TypeError, ValueError, OverflowError)
"""Raised when a batch is pack_command: a user's serializer may return text, and any text."""


class Completer:
    """Collects completions while earlier calls are under way, and sends them together.

    Args:
        operations: The queues.
        on_settled: Receives completions once Redis has taken or refused them.
        observe: Receives the outcomes that Redis has taken.
    """

    def __init__(
        self,
        operations: QueueOperations,
        *,
        on_settled: Callable[[Sequence[Completion]], None],
        observe: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.refused = 0
        self._operations = operations
        self._on_settled = on_settled
        self._observe = observe
        self._pending: deque[Completion] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        # A sender must not inherit the context of the job that ends first.
        self._outside = copy_context()

    @property
    def idle(self) -> bool:
        """True if everything is settled."""
        return not self._senders

    def add(self, completion: Completion) -> None:
        """Send `completion` soon."""
        self._pending.append(completion)
        batches = 1 + len(self._pending) // BATCH
        if len(self._senders) < min(batches, MAX_SENDERS):
            sender = asyncio.create_task(self._send_all(), context=self._outside)
            self._senders.add(sender)

    async def drain(self) -> None:
        """Wait until everything added so far is settled."""
        while self._senders:
            await asyncio.wait(self._senders)

    def stop(self) -> None:
        """Give up: the leases of what is not settled will expire."""
        self._pending.clear()
        for sender in self._senders:
            sender.cancel()

    async def _send_all(self) -> None:
        try:
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(len(self._pending), BATCH))]
                await self._send(batch)
        finally:
            # Now, and not when the task is seen to have ended: a completion added in between would
            # rely on a sender that sends no more.
            self._senders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send(self, batch: list[Completion], *, repeated: bool = False) -> None:
        """Send `batch` until Redis has taken or refused each completion.

        Args:
            batch: At most BATCH completions.
            repeated: Redis may have taken some of them in an earlier call.
        """
        failures = 0
        outage = Outage(f"finishing {len(batch)} jobs")
        while True:
            try:
                refused = await self._operations.finish(batch)
            except (*TRANSIENT_ERRORS, *_UNPACKABLE) as error:
                if _is_unrelated(error):
                    repeated = True
                elif len(batch) > 1:  # one bad completion must not hold up its batch
                    for completion in batch:
                        await self._send([completion], repeated=isinstance(error, TRANSIENT_ERRORS))
                    return
                elif failures >= _MAX_ATTEMPTS or isinstance(error, _UNPACKABLE):
                    self._drop(batch[0], error)
                    return
                await outage.back_off(error)
                failures += 1
            else:
                self._settle(batch, set(refused), repeated=repeated)
                return

    def _drop(self, completion: Completion, error: Exception) -> None:
        job_id = completion.claim.job_id
        logger.error("cannot finish job, its lease will expire: %s job_id=%s", error, job_id)
        self._on_settled([completion])
        _resolve(completion.settled)

    def _settle(self, batch: list[Completion], refused: set[int], *, repeated: bool) -> None:
        self._on_settled(batch)
        for number, completion in enumerate(batch):
            outcome = completion.outcome
            # A repeated call is refused where the first one was taken and its answer was lost.
            if number in refused and not repeated:
                self.refused += 1
                outcome = None
                job_id = completion.claim.job_id
                logger.warning("ignoring result: lease lost to another worker job_id=%s", job_id)
            if outcome is not None and self._observe is not None:
                self._observe(outcome)
            _resolve(completion.settled)


def _is_unrelated(error: Exception) -> bool:
    """Return whether the error is not about the content of the call."""
    if isinstance(error, ResponseError):
        return is_transient(error)
    return isinstance(error, TRANSIENT_ERRORS)


def _resolve(settled: asyncio.Future[None] | None) -> None:
    if settled is not None and not settled.done():
        settled.set_result(None)
