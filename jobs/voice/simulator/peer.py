"""Requests and replies, both ways, over one connection.

A frame is its length in four bytes (big-endian), then JSON: [kind, id, subject, data].
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from enum import IntEnum
from itertools import count
from typing import Any, Final

import structlog

from jobs.errors import ExternalServiceError

MAX_FRAME: Final = 256 * 1024 * 1024
"""Bytes; anything longer is not one of ours."""

Handler = Callable[[str, Any], Awaitable[Any]]
"""Answers a request, given its subject and its data."""

log = structlog.get_logger(__name__)


class _Kind(IntEnum):
    REQUEST = 0
    REPLY = 1
    FAILURE = 2


class Peer:
    """One end of a connection. `run` has to be running for anything to happen."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._ids = count()
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._handling: set[asyncio.Task[None]] = set()
        self._lost = False

    async def request(self, subject: str, data: object) -> Any:  # JSON
        """The other end's answer.

        Raises ExternalServiceError when the connection ended first, so that nobody knows whether
        the request was heard, and when the other end failed.
        """
        if self._lost:
            raise ExternalServiceError("the connection to the simulator is lost")
        number = next(self._ids)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            await self._write(_Kind.REQUEST, number, subject, data)
            return await reply
        except ConnectionError:
            raise ExternalServiceError("the connection to the simulator was lost") from None
        finally:
            del self._replies[number]

    async def run(self) -> None:
        """Reads until the connection ends, then fails what still waits for an answer."""
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > MAX_FRAME:
                    log.warning("frame_too_long", size=size)
                    return
                self._receive(*json.loads(await self._reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except (ValueError, TypeError, RecursionError):
            log.warning("frame_unreadable")
        finally:
            self.close()

    def close(self) -> None:
        """Ends the connection, and with it `run`."""
        self._lost = True
        self._writer.close()
        for task in self._handling:
            task.cancel()
        for reply in self._replies.values():
            if not reply.done():
                lost = ExternalServiceError("the connection to the simulator was lost")
                reply.set_exception(lost)

    def _receive(self, kind: int, number: int, subject: str, data: object) -> None:
        if kind == _Kind.REQUEST:
            task = asyncio.get_running_loop().create_task(self._handle(number, subject, data))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)
            return
        reply = self._replies.get(number)
        if reply is None or reply.done():
            return
        if kind == _Kind.REPLY:
            reply.set_result(data)
        else:
            reply.set_exception(ExternalServiceError(subject))

    async def _handle(self, number: int, subject: str, data: object) -> None:
        try:
            answer = await self._handler(subject, data)
        except ExternalServiceError as error:
            kind, subject, answer = _Kind.FAILURE, str(error), None
        except Exception as error:
            log.exception("request_failed", subject=subject)
            kind, subject, answer = (
                _Kind.FAILURE,
                f"the other end failed: {type(error).__name__}",
                None,
            )
        else:
            kind = _Kind.REPLY
        try:
            await self._write(kind, number, subject, answer)
        except ConnectionError:
            self.close()

    async def _write(self, kind: _Kind, number: int, subject: str, data: object) -> None:
        frame = json.dumps((kind, number, subject, data), separators=(",", ":")).encode()
        self._writer.write(len(frame).to_bytes(4, "big") + frame)
        await self._writer.drain()
