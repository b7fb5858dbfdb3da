"""One connection to Redis, on which scripts run, several at a time, and which hears of changes."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from hiredis import PushNotification
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

from jobs.engine.connection.failures import is_read_only, is_transient
from jobs.engine.connection.protocol import Argument, RedisProtocol, pack_command
from jobs.engine.connection.raw_connection import REPLY_TIMEOUT, open_connection
from jobs.engine.connection.script import Script

_WATCH_NEXT: Final = pack_command("CLIENT", "CACHING", "YES")
"""Without it a connection would be told of every job's own keys too, at a cost for each."""
_PING: Final = pack_command("PING")
_CLOSED: Final = "the connection was closed"


_Call = tuple[asyncio.Future[Any] | None, float]
"""What an answer is due to: None where nobody waits for it, and since when, by the loop's time."""


class ScriptChannel:
    """Calls scripts over a connection made with the options of `pool`, so that TLS, authentication
    and Sentinel hold here too.

    on_change is called when a key that a watching call read is then changed by someone else
    (client tracking), and when the connection was lost. A change of its own ends the watch of a
    key untold. `tracks` tells whether the server allows it; where not, the caller has to poll.
    Without on_change nothing is watched.

    A call raises one of OUTAGE when there is no answer within `timeout` seconds; the connection is
    then given up, and the next call makes a new one. Whether the script ran is not known.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        on_change: Callable[[], None] | None = None,
        *,
        timeout: float = REPLY_TIMEOUT,
    ) -> None:
        self.tracks = on_change is not None
        self._pool = pool
        self._on_change = on_change
        self._timeout = timeout
        self._wire: RedisProtocol | None = None
        self._calls: deque[_Call] = deque()
        self._opening = asyncio.Lock()
        self._closings = 0
        self._silence: asyncio.TimerHandle | None = None
        """The one timer of all calls."""

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        *args: Argument,
        watch: bool = False,
        notify_first: bool = False,
    ) -> Any:
        """Run `script`; its reply.

        watch: hear of the next change of what it reads. told_last: the others to whom the script
        has something to say are to hear it before this one has its reply: Redis writes first to
        those for whom it had something last, and for this one it has the answer to a PING.
        """
        first = _PING if notify_first else _WATCH_NEXT if watch else b""
        wire = self._wire
        if wire is None or not wire.is_writable:
            wire = await self._ready()
        command = pack_command("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            return await self._send(wire, command, first)
        except NoScriptError:
            command = pack_command("EVAL", script.text, len(keys), *keys, *args)
            return await self._send(await self._ready(), command, first)

    async def open(self) -> None:
        """Connect now, and not with the first call."""
        await self._ready()

    async def close(self) -> None:
        """Close the connection, or the one that is being made; a later call makes a new one."""
        self._closings += 1
        self._give_up(RedisConnectionError(_CLOSED))
        await asyncio.sleep(0)  # a transport ends with the loop's next turn

    def _send(self, wire: RedisProtocol, command: bytes, first: bytes) -> asyncio.Future[Any]:
        """Send `command`, after `first`; what will be its answer."""
        loop = asyncio.get_running_loop()
        if wire.loop is not loop:  # no answer would ever arrive here
            raise RuntimeError("a pool belongs to the event loop that it was first used in")
        now = loop.time()
        if first is _WATCH_NEXT and not self.tracks:
            first = b""
        if first:
            self._calls.append((None, now))
            command = first + command
        reply: asyncio.Future[Any] = loop.create_future()
        self._calls.append((reply, now))
        try:
            wire.send(command)
        except RedisConnectionError as error:
            self._give_up(error)
        else:
            if self._silence is None:
                self._silence = loop.call_at(now + self._timeout, self._check, loop)
        return reply

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the connection up if an answer is overdue."""
        self._silence = None
        if self._calls:
            due = self._calls[0][1] + self._timeout
            if due <= loop.time():
                self._give_up(RedisTimeoutError(self._silent))
            else:
                self._silence = loop.call_at(due, self._check, loop)

    @property
    def _silent(self) -> str:
        return f"no answer within {self._timeout:g} s"

    async def _ready(self) -> RedisProtocol:
        """A connection that has room for more."""
        closings = self._closings
        try:
            async with asyncio.timeout(self._timeout):
                async with self._opening:
                    wire = self._wire or await self._connect(closings)
                await wire.wait_until_writable()
        except TimeoutError:
            error = RedisTimeoutError(self._silent)
            self._give_up(error)
            raise error from None
        if wire is not self._wire:
            raise RedisConnectionError("the connection was lost")
        return wire

    async def _connect(self, closings: int) -> RedisProtocol:
        """closings: how often this had been closed when the connection was asked for."""
        connection = await self._tracking() if self.tracks else None
        if connection is None:
            connection = await open_connection(self._pool, protocol=2, timeout=self._timeout)
        if closings != self._closings:
            await connection.disconnect(nowait=True)
            raise RedisConnectionError(_CLOSED)
        self._wire = RedisProtocol(connection, on_reply=self._answered, on_lost=self._give_up)
        return self._wire

    async def _tracking(self) -> AbstractConnection | None:
        """A connection that is told of changes; None where the server does not allow it."""
        try:
            return await open_connection(
                self._pool,
                *("CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"),
                protocol=3,
                timeout=self._timeout,
            )
        except ResponseError as error:
            if is_transient(error):
                raise
            self.tracks = False
            return None

    def _answered(self, answer: Any) -> None:
        """Hand an answer to the call that waits for it."""
        if isinstance(answer, PushNotification):
            self._tell()
            return
        reply, _ = self._calls.popleft()
        if reply is not None and not reply.done():
            _settle(reply, answer)
        # The server is loading, or the master is elsewhere now: connect anew.
        if isinstance(answer, RedisError) and (
            isinstance(answer, RedisConnectionError) or is_read_only(answer)
        ):
            self._give_up(answer)

    def _give_up(self, error: Exception) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        waiting, self._calls = self._calls, deque()
        for reply, _ in waiting:
            if reply is not None and not reply.done():
                reply.set_exception(error)
        self._tell()

    def _tell(self) -> None:
        if self._on_change is not None:
            self._on_change()


def _settle(reply: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, Exception):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)
