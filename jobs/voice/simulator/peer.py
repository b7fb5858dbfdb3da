"""Requests and replies in both directions over one connection.

A frame is its length in four bytes (big-endian), followed by JSON: [kind, id, subject, data].
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
"""Bytes; a longer frame is not part of this protocol."""

Handler = Callable[[str, Any], Awaitable[Any]]
"""Function from the subject and data of a request to the data of the reply."""

_LOST: Final = "the connection to the simulator was lost"

log = structlog.get_logger(__name__)


class _Kind(IntEnum):
    REQUEST = 0
    REPLY = 1
    FAILURE = 2


class Peer:
    """One end of a connection; receives only while `run` is running.

    Args:
        reader: Receiving side of the connection.
        writer: Sending side of the connection.
        handler: Handles the requests of the other end.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._ids = count()
        self._pending_replies: dict[int, asyncio.Future[Any]] = {}
        self._handler_tasks: set[asyncio.Task[None]] = set()
        self._lost = False

    async def request(self, subject: str, data: object) -> Any:  # JSON
        """Send a request and return the reply.

        Args:
            subject: Name of the request.
            data: Arguments of the request; must be serializable as JSON.

        Returns:
            The data of the reply, as JSON types.

        Raises:
            ExternalServiceError: The other end failed, or the connection was lost, so that the
                fate of the request is unknown.
        """
        if self._lost:
            raise ExternalServiceError(_LOST)
        request_id = next(self._ids)
        reply = self._pending_replies[request_id] = asyncio.get_running_loop().create_future()
        try:
            await self._write(_Kind.REQUEST, request_id, subject, data)
            return await reply
        except ConnectionError:
            raise ExternalServiceError(_LOST) from None
        finally:
            del self._pending_replies[request_id]

    async def run(self) -> None:
        """Receive until the connection ends, then fail all requests without a reply."""
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > MAX_FRAME:
                    log.warning("closing connection: frame too long", size=size)
                    return
                self._receive(*json.loads(await self._reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except (ValueError, TypeError, RecursionError):
            log.warning("closing connection: malformed frame")
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; `run` then returns."""
        self._lost = True
        self._writer.close()
        for task in self._handler_tasks:
            task.cancel()
        for reply in self._pending_replies.values():
            if not reply.done():
                reply.set_exception(ExternalServiceError(_LOST))

    def _receive(self, kind: int, request_id: int, subject: str, data: object) -> None:
        if kind == _Kind.REQUEST:
            task = asyncio.get_running_loop().create_task(self._handle(request_id, subject, data))
            self._handler_tasks.add(task)
            task.add_done_callback(self._handler_tasks.discard)
            return
        reply = self._pending_replies.get(request_id)
        if reply is None or reply.done():
            return
        if kind == _Kind.REPLY:
            reply.set_result(data)
        else:
            reply.set_exception(ExternalServiceError(subject))

    async def _handle(self, request_id: int, subject: str, data: object) -> None:
        try:
            reply = await self._handler(subject, data)
        except ExternalServiceError as error:
            kind, subject, reply = _Kind.FAILURE, str(error), None
        except Exception as error:
            log.exception("request handler failed", subject=subject)
            kind, subject, reply = (
                _Kind.FAILURE,
                f"the other end of the connection failed: {type(error).__name__}",
                None,
            )
        else:
            kind = _Kind.REPLY
        try:
            await self._write(kind, request_id, subject, reply)
        except ConnectionError:
            self.close()

    async def _write(self, kind: _Kind, request_id: int, subject: str, data: object) -> None:
        frame = json.dumps((kind, request_id, subject, data), separators=(",", ":")).encode()
        self._writer.write(len(frame).to_bytes(4, "big") + frame)
        await self._writer.drain()
