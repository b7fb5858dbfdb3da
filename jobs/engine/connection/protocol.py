"""A connection to Redis without the streams around it, through which each answer would take a
task's turn of the event loop, and each command a way of its own."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

Argument = str | bytes | int

_MORE: Final = object()
"""What the reader says while an answer is incomplete."""
_LOST: Final = "the connection to Redis was lost"


def packed(*words: Argument) -> bytes:
    """A command as it is sent."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub wants a 1-tuple
    return command


class RedisProtocol(asyncio.Protocol):
    """Takes over what redis-py has connected: by its options, with its handshake done, and with
    nothing under way.

    answered is called with each answer, errors of Redis among them; lost once, when the connection
    has ended in any other way than by `close`. Raises ConnectionError when it has ended already.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        *,
        answered: Callable[[Any], None],
        lost: Callable[[Exception], None],
    ) -> None:
        redis_py: Any = connection
        self.loop = asyncio.get_running_loop()
        self._answered = answered
        self._lost = lost
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=redis_py._parser.parse_error,  # noqa: SLF001 - by what redis-py reads with
            notEnoughData=_MORE,
        )
        # Kept, as a stream closes its connection when it is collected.
        self._streams = redis_py._reader, redis_py._writer  # noqa: SLF001 - there is no other way
        redis_py._reader = redis_py._writer = None  # noqa: SLF001 - nor for redis-py to let go
        self._transport: asyncio.Transport = self._streams[1].transport
        if self._streams[0].at_eof() or self._transport.is_closing():
            self.close()
            raise RedisConnectionError(_LOST)
        self._transport.set_protocol(self)

    @property
    def has_room(self) -> bool:
        """Whether what is sent now will leave soon."""
        return self._room.is_set()

    async def until_room(self) -> None:
        """Wait until what was sent has left, or never will."""
        await self._room.wait()

    def send(self, commands: bytes) -> None:
        """Raises ConnectionError where that is in vain."""
        if self._transport.is_closing():
            raise RedisConnectionError(_LOST)
        self._transport.write(commands)

    def close(self) -> None:
        self._closed = True
        self._room.set()  # a transport that cannot send stays open, and would not tell
        self._transport.close()

    # --- what the transport tells

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while not self._closed and (answer := self._reader.gets()) is not _MORE:
                self._answered(answer)
        except InvalidResponse as error:
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.set()
        self._end(RedisConnectionError(f"{_LOST}: {exc}" if exc else _LOST))

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def _end(self, error: Exception) -> None:
        if not self._closed:
            self.close()
            self._lost(error)
