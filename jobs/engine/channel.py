"""One connection to Redis, on which scripts run, several at a time, and which hears of changes."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from hiredis import PushNotification, pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from jobs.engine.refusals import is_read_only
from jobs.engine.scripts import Script
from jobs.engine.transport import reporting

Argument = str | bytes | int

OUTAGE: Final = (RedisError, OSError, TimeoutError)
"""What a call raises while Redis is away, or refuses to write."""
PATIENCE: Final = 10.0
"""Seconds without an answer after which a connection is given up."""

_WATCH_NEXT: Final[bytes] = pack_command(("CLIENT", "CACHING", "YES"))  # type: ignore[arg-type]  # its stub wants a 1-tuple
"""Without it a connection would be told of every job's own keys too, at a cost for each."""
_PING: Final[bytes] = pack_command(("PING",))


class Channel:
    """Calls scripts over a connection made with the options of `pool`, so that TLS, authentication
    and Sentinel hold here too.

    on_change is called when a key that a watching call read is then changed by someone else
    (client tracking), and when the connection was lost. A change of its own ends the watch of a
    key untold. `tracks` tells whether the server allows it; where not, the caller has to poll.
    Without on_change nothing is watched.

    A call raises one of OUTAGE when there is no answer within `patience` seconds; the connection is
    then given up, and the next call makes a new one. Whether the script ran is not known.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        on_change: Callable[[], None] | None = None,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.tracks = on_change is not None
        self._pool = pool
        self._on_change = on_change
        self._patience = patience
        self._connection: AbstractConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._replies: deque[asyncio.Future[Any] | None] = deque()
        self._sending = asyncio.Lock()

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        *args: Argument,
        watch: bool = False,
        told_last: bool = False,
    ) -> Any:
        """Run `script`; its reply.

        watch: hear of the next change of what it reads. told_last: the others to whom the script
        has something to say are to hear it before this one has its reply: Redis writes first to
        those for whom it had something last, and for this one it has the answer to a PING.
        """
        first = _PING if told_last else _WATCH_NEXT if watch else b""
        try:
            return await self._execute(("EVALSHA", script.sha, len(keys), *keys, *args), first)
        except NoScriptError:
            return await self._execute(("EVAL", script.text, len(keys), *keys, *args), first)

    async def open(self) -> None:
        """Connect now, and not with the first call."""
        async with self._sending:
            if self._connection is None:
                await self._connect()

    async def close(self) -> None:
        """Close the connection; a later call makes a new one."""
        reader = self._reader
        self._give_up(RedisConnectionError("the connection was closed"))
        if reader is not None:
            await asyncio.wait([reader])

    async def _execute(self, command: tuple[Argument, ...], first: bytes) -> Any:
        packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub wants a 1-tuple
        try:
            async with asyncio.timeout(self._patience):
                async with self._sending:
                    connection = self._connection or await self._connect()
                    if first is _WATCH_NEXT and not self.tracks:
                        first = b""
                    if first:
                        self._replies.append(None)  # nobody waits for the answer to this
                        packed = first + packed
                    reply = await self._send(connection, packed)
                return await reply
        except TimeoutError:
            silence = f"no answer within {self._patience:g} s"
            self._give_up(RedisConnectionError(silence))
            raise RedisTimeoutError(silence) from None

    async def _send(self, connection: AbstractConnection, packed: bytes) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.append(reply)
        try:
            await connection.send_packed_command(packed, check_health=False)
        except BaseException:
            reply.cancel()
            raise
        return reply

    async def _connect(self) -> AbstractConnection:
        connection = await self._tracking() if self.tracks else None
        if connection is None:
            connection = connection_like(self._pool, protocol=2, patience=self._patience)
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
        self._connection = connection
        self._reader = asyncio.create_task(self._read(connection))
        await asyncio.sleep(0)  # cancelled before its first step, it would never close anything
        return connection

    async def _tracking(self) -> AbstractConnection | None:
        """A connection that is told of changes; None where the server does not allow it."""
        connection = connection_like(self._pool, protocol=3, patience=self._patience)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
            await connection.send_command("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP")
            await connection.read_response()
        except ResponseError:
            await connection.disconnect(nowait=True)
            self.tracks = False
            return None
        return connection

    async def _read(self, connection: AbstractConnection) -> None:
        """Hand each answer to the call that waits for it, until the connection breaks."""
        try:
            while True:
                try:
                    answer = await connection.read_response()
                except ResponseError as error:
                    answer = error
                if isinstance(answer, PushNotification):
                    self._tell()
                    continue
                reply = self._replies.popleft()
                if reply is not None and not reply.done():
                    _settle(reply, answer)
                if isinstance(answer, ResponseError) and is_read_only(answer):
                    raise answer  # the master is elsewhere now: connect anew
        except OUTAGE as error:
            if connection is self._connection:
                self._give_up(error)
        finally:
            with contextlib.suppress(*OUTAGE):
                await connection.disconnect(nowait=True)

    def _give_up(self, error: Exception) -> None:
        self._connection = None
        reader, self._reader = self._reader, None
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
        waiting, self._replies = self._replies, deque()
        for reply in waiting:
            if reply is not None and not reply.done():
                reply.set_exception(error)
        self._tell()

    def _tell(self) -> None:
        if self._on_change is not None:
            self._on_change()


def connection_like(
    pool: ConnectionPool, *, protocol: int, patience: float = PATIENCE
) -> AbstractConnection:
    """A connection with the options of `pool`, on which any time may pass without an answer.

    patience: seconds that connecting may take, where those options do not say.
    """
    options = dict(pool.connection_kwargs)
    limit = options.pop("socket_timeout", None) or patience
    options["socket_connect_timeout"] = options.get("socket_connect_timeout") or limit
    return reporting(pool.connection_class)(
        **options | {"protocol": protocol, "health_check_interval": 0}
    )


def _settle(reply: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, Exception):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
