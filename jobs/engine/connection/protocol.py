"""Redis protocol on a bare asyncio transport.

asyncio streams need one turn of the event loop, and one task wake-up, per reply. This class parses
all received replies at once and passes each to a callback.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

Argument = str | bytes | int

_INCOMPLETE: Final = object()
"""Returned by the reader while a reply is incomplete."""
_LOST: Final = "the connection to Redis was lost"


def pack_command(*words: Argument) -> bytes:
    """Encode a command.

    Args:
        *words: Name of the command and its arguments.

    Returns:
        The bytes to send.
    """
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub expects a 1-tuple
    return command


class RedisProtocol(asyncio.Protocol):
    """Takes over a connection that redis-py opened, after the handshake and with no call pending.

    Args:
        connection: Open connection. redis-py must not use it afterwards.
        on_reply: Called with each reply. Error replies are exception instances.
        on_lost: Called once if the connection ends in any way other than `close`.

    Raises:
        ConnectionError: The connection is already closed.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        *,
        on_reply: Callable[[Any], None],
        on_lost: Callable[[Exception], None],
    ) -> None:
        redis_py: Any = connection
        self.loop = asyncio.get_running_loop()
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = False
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=redis_py._parser.parse_error,  # noqa: SLF001 - maps errors as redis-py does
            notEnoughData=_INCOMPLETE,
        )
        # Keep the streams: a stream closes its connection when it is garbage-collected.
        self._streams = redis_py._reader, redis_py._writer  # noqa: SLF001 - no public access
        redis_py._reader = redis_py._writer = None  # noqa: SLF001 - detaches redis-py
        self._transport: asyncio.Transport = self._streams[1].transport
        if self._streams[0].at_eof() or self._transport.is_closing():
            self.close()
            raise RedisConnectionError(_LOST)
        self._transport.set_protocol(self)

    @property
    def is_writable(self) -> bool:
        """Return whether the transport's send buffer has room."""
        return self._writable.is_set()

    async def wait_until_writable(self) -> None:
        """Wait until the send buffer has room or the connection ends."""
        await self._writable.wait()

    def send(self, commands: bytes) -> None:
        """Send encoded commands.

        Args:
            commands: Commands from `pack_command`, concatenated.

        Raises:
            ConnectionError: The connection is closed.
        """
        if self._transport.is_closing():
            raise RedisConnectionError(_LOST)
        self._transport.write(commands)

    def close(self) -> None:
        """Close the connection without calling `on_lost`."""
        self._closed = True
        self._writable.set()  # a transport that cannot send stays open and never resumes writing
        self._transport.close()

    # --- callbacks of the transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while not self._closed and (reply := self._reader.gets()) is not _INCOMPLETE:
                self._on_reply(reply)
        except InvalidResponse as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._fail(RedisConnectionError(f"{_LOST}: {exc}" if exc else _LOST))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _fail(self, error: Exception) -> None:
        if not self._closed:
            self.close()
            self._on_lost(error)
