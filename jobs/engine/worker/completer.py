"""Gives claims up in batches, and keeps trying while Redis is away."""

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

IN_FLIGHT: Final = 2
"""Calls under way at once, while there is a whole batch for the second: Redis works on one while
the next is being put together."""
_TRIES_OF_A_BAD_FINISH: Final = 3
_UNSENDABLE: Final = (TypeError, ValueError, OverflowError)
"""What packing a batch raises: a serializer of one's own may give text, and any text."""


class Completer:
    """Collects what ended while earlier calls are under way, and sends it as one.

    given_up is called with finishes once Redis has taken them, or refused them. Outcomes that
    Redis took are then shown to `observe`.
    """

    def __init__(
        self,
        claims: QueueOperations,
        *,
        given_up: Callable[[Sequence[Completion]], None],
        observe: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.refused = 0
        self._claims = claims
        self._given_up = given_up
        self._observe = observe
        self._pending: deque[Completion] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._outside = copy_context()
        """Not that of the job whose end is the first to be sent."""

    @property
    def idle(self) -> bool:
        return not self._senders

    def add(self, finish: Completion) -> None:
        """Finish a try soon."""
        self._pending.append(finish)
        batches = 1 + len(self._pending) // BATCH
        if len(self._senders) < min(batches, IN_FLIGHT):
            sender = asyncio.create_task(self._send_all(), context=self._outside)
            self._senders.add(sender)

    async def drain(self) -> None:
        """Wait until everything added so far is settled."""
        while self._senders:
            await asyncio.wait(self._senders)

    def stop(self) -> None:
        """Give up: what is not settled is left to the leases."""
        self._pending.clear()
        for sender in self._senders:
            sender.cancel()

    async def _send_all(self) -> None:
        try:
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(len(self._pending), BATCH))]
                await self._send(batch)
        finally:
            # At once, and not when the task is found to have ended: what is added until then would
            # be left to a sender that sends no more.
            self._senders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send(self, batch: list[Completion], *, repeated: bool = False) -> None:
        """Send `batch` until Redis has taken or refused each of its tries. repeated: it may have
        taken some of them already."""
        failures = 0
        outage = Outage(f"finishing {len(batch)} jobs")
        while True:
            try:
                refused = await self._claims.finish(batch)
            except (*TRANSIENT_ERRORS, *_UNSENDABLE) as error:
                if _may_pass(error):
                    repeated = True
                elif len(batch) > 1:  # one bad finish must not hold up the others of its batch
                    for finish in batch:
                        await self._send([finish], repeated=isinstance(error, TRANSIENT_ERRORS))
                    return
                elif failures >= _TRIES_OF_A_BAD_FINISH or isinstance(error, _UNSENDABLE):
                    self._drop(batch[0], error)
                    return
                await outage.back_off(error)
                failures += 1
            else:
                self._settle(batch, set(refused), repeated=repeated)
                return

    def _drop(self, finish: Completion, error: Exception) -> None:
        job_id = finish.claim.job_id
        logger.error("job %s cannot be finished, its lease will lapse: %s", job_id, error)
        self._given_up([finish])
        _resolve(finish.settled)

    def _settle(self, batch: list[Completion], refused: set[int], *, repeated: bool) -> None:
        self._given_up(batch)
        for number, finish in enumerate(batch):
            outcome = finish.outcome
            # A repeated call is refused where the first, whose answer was lost, was taken.
            if number in refused and not repeated:
                self.refused += 1
                outcome = None
                logger.warning(
                    "job %s is someone else's by now: this end of it does not count",
                    finish.claim.job_id,
                )
            if outcome is not None and self._observe is not None:
                self._observe(outcome)
            _resolve(finish.settled)


def _may_pass(error: Exception) -> bool:
    """Whether it is not about what was sent."""
    if isinstance(error, ResponseError):
        return is_transient(error)
    return isinstance(error, TRANSIENT_ERRORS)


def _resolve(settled: asyncio.Future[None] | None) -> None:
    if settled is not None and not settled.done():
        settled.set_result(None)
