"""Hand-off: receives jobs that producers claim for this worker.

An idle worker announces itself with its claim. The next producer enqueues its job and claims it for
that worker in one script, which publishes the claim. This saves the round trip of a claim.
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

_PING_INTERVAL: Final = 2.0
"""Seconds between two pings; the reply to a ping must arrive within the interval."""
_RETRY_REFUSED: Final = 60.0
"""Seconds until the next subscription after Redis has refused one."""
_PING: Final = pack_command("PING")
_UNSUBSCRIBE_TIMEOUT: Final = 1.0
"""Seconds in which Redis must confirm the end of the subscription."""


class Handoff:
    """Listener for the jobs of one worker, on a separate connection.

    The connection is separate because Redis closes a subscribed connection for which too many
    messages wait, and claims may be large. If Redis refuses the subscription, no job arrives, and
    the worker claims all jobs itself.

    Args:
        pool: The pool whose options the connection uses.
        worker: The name by which producers find the worker.
        take: Receives each job, as `enqueue.lua` packs it.
        opened: Is called once jobs can arrive.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        worker: str,
        *,
        take: Callable[[bytes], None],
        opened: Callable[[], None],
    ) -> None:
        self.listening = False
        """True while producers may hand jobs to the worker."""
        self._pool = pool
        self._channel = HANDED + worker
        self._take = take
        self._opened = opened
        self._wire: RedisProtocol | None = None
        self._replied = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start listening."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take the jobs that were published so far, and end the subscription."""
        task, self._task = self._task, None
        if task is None:
            return
        if self.listening and self._wire is not None:
            self.listening = False
            with contextlib.suppress(*TRANSIENT_ERRORS):
                async with asyncio.timeout(_UNSUBSCRIBE_TIMEOUT):
                    self._wire.send(pack_command("UNSUBSCRIBE"))
                    await asyncio.wait([task])
        task.cancel()
        await asyncio.wait([task])

    async def _run(self) -> None:
        while self._task is not None:
            try:
                await self._listen()
            except TRANSIENT_ERRORS as error:
                if isinstance(error, ResponseError) and not is_transient(error):
                    logger.info("hand-off unavailable, the worker claims all jobs: %s", error)
                    await asyncio.sleep(_RETRY_REFUSED)
                else:
                    await asyncio.sleep(_PING_INTERVAL)  # the claims log the outage

    async def _listen(self) -> None:
        """Listen until unsubscribed."""
        connection = await open_connection(self._pool, protocol=2)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wire = self._wire = RedisProtocol(
            connection,
            on_reply=partial(self._on_reply, over),
            on_lost=partial(_end, over),
        )
        try:
            wire.send(pack_command("SUBSCRIBE", self._channel))
            while True:
                self._replied = False
                await asyncio.wait([over], timeout=_PING_INTERVAL)
                if over.done():
                    return over.result()
                if not self._replied:
                    raise RedisTimeoutError(f"no reply within {_PING_INTERVAL:g} s")
                wire.send(_PING)
        finally:
            self.listening = False
            wire.close()

    def _on_reply(self, over: asyncio.Future[None], reply: Any) -> None:
        self._replied = True
        if isinstance(reply, Exception):
            _end(over, reply)
            return
        kind, *_, content = reply
        if kind == b"message":
            self._take_safely(content)
        elif kind == b"subscribe":
            self.listening = True
            self._opened()
        elif kind == b"unsubscribe" and not over.done():
            over.set_result(None)

    def _take_safely(self, message: bytes) -> None:
        try:
            self._take(message)
        except Exception:
            logger.exception("cannot read a handed-off job: its lease will expire")


def _end(over: asyncio.Future[None], error: Exception) -> None:
    if not over.done():
        over.set_exception(error)
