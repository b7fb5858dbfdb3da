"""Hears of the jobs that producers hand to this worker.

A worker that has nothing to do says so with its claim. The next producer then claims its job for
it, in the same script that enqueues it, and sends it along: one round trip less than with a claim
of the worker's own.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.engine.connection.failures import TRANSIENT_ERRORS, is_transient
from jobs.engine.connection.protocol import RedisProtocol, pack_command
from jobs.engine.connection.raw_connection import open_connection
from jobs.engine.queue.keys import HANDED

logger = logging.getLogger("jobs.worker")

_BEAT: Final = 2.0
"""Seconds after which Redis is asked again whether it is still there; by then it has answered."""
_REFUSED: Final = 60.0
"""Seconds until Redis is asked again that did not allow it."""
_PING: Final = pack_command("PING")
_PATIENCE: Final = 1.0
"""Seconds that Redis has to confirm that no more will come."""


class Handoff:
    """Listens on a connection of its own, made with the options of `pool`: Redis closes one that
    is told of messages when too much waits for it, and claims may be large.

    worker: its name, as producers find it. take: is called with each job, as `enqueue.lua` packs
    it. opened: is called when jobs would arrive from now on. Where Redis does not allow it, nothing
    is ever heard, and the worker claims for itself.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        worker: str,
        *,
        take: Callable[[bytes], None],
        opened: Callable[[], None],
    ) -> None:
        self.listens = False
        """Whether a job would arrive."""
        self._pool = pool
        self._channel = HANDED + worker
        self._take = take
        self._opened = opened
        self._wire: RedisProtocol | None = None
        self._heard = False
        self._listening: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take what was handed until now, and no more."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        if self.listens and self._wire is not None:
            self.listens = False
            with contextlib.suppress(*TRANSIENT_ERRORS):
                async with asyncio.timeout(_PATIENCE):
                    self._wire.send(pack_command("UNSUBSCRIBE"))
                    await asyncio.wait([listening])
        listening.cancel()
        await asyncio.wait([listening])

    async def _run(self) -> None:
        while self._listening is not None:
            try:
                await self._listen()
            except TRANSIENT_ERRORS as error:
                if isinstance(error, ResponseError) and not is_transient(error):
                    logger.info("jobs are claimed, and not handed over: %s", error)
                    await asyncio.sleep(_REFUSED)
                else:
                    await asyncio.sleep(_BEAT)  # the claims tell of it

    async def _listen(self) -> None:
        """Until it has been unsubscribed."""
        connection = await open_connection(self._pool, protocol=2)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wire = self._wire = RedisProtocol(
            connection,
            on_reply=partial(self._hear, over),
            on_lost=partial(_end, over),
        )
        try:
            wire.send(pack_command("SUBSCRIBE", self._channel))
            while True:
                self._heard = False
                await asyncio.wait([over], timeout=_BEAT)
                if over.done():
                    return over.result()
                if not self._heard:
                    raise RedisTimeoutError(f"no answer within {_BEAT:g} s")
                wire.send(_PING)
        finally:
            self.listens = False
            wire.close()

    def _hear(self, over: asyncio.Future[None], answer: Any) -> None:
        self._heard = True
        if isinstance(answer, Exception):
            _end(over, answer)
            return
        kind, *_, content = answer
        if kind == b"message":
            self._take_safely(content)
        elif kind == b"subscribe":
            self.listens = True
            self._opened()
        elif kind == b"unsubscribe" and not over.done():
            over.set_result(None)

    def _take_safely(self, message: bytes) -> None:
        try:
            self._take(message)
        except Exception:
            logger.exception("what was handed over cannot be read: its lease will lapse")


def _end(over: asyncio.Future[None], error: Exception) -> None:
    if not over.done():
        over.set_exception(error)
