"""Pipelined script calls on one connection, with client tracking."""

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
"""Makes Redis track the keys that the next command reads. Tracking every read would also report
changes of each job's own keys, at a cost per key."""
_PING: Final = pack_command("PING")
_CLOSED: Final = "the connection was closed"


_Call = tuple[asyncio.Future[Any] | None, float]
"""A pending call: future of its reply (None to ignore the reply), and the loop time at which
the call was sent."""


class ScriptChannel:
    """Calls scripts over one connection with the options of a pool, so TLS, authentication and
    Sentinel apply.

    If no reply arrives within the timeout, the connection is closed, and the next call opens a new
    one. The caller does not know whether the script ran.

    Args:
        pool: Pool that provides the connection options.
        on_change: Called when another client changes a key that a watching call read (client
            tracking), and when the connection is lost. A change made over this connection ends
            the tracking of the key without a call. None switches tracking off.
        timeout: Timeout of a reply, in seconds.

    Attributes:
        tracks: Whether changes are reported. If the server does not allow tracking, this becomes
            False, and the caller has to poll.
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
        self._protocol: RedisProtocol | None = None
        self._calls: deque[_Call] = deque()
        self._connecting = asyncio.Lock()
        self._times_closed = 0
        self._timer: asyncio.TimerHandle | None = None
        """One timer for all pending calls."""

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        *args: Argument,
        watch: bool = False,
        notify_first: bool = False,
    ) -> Any:
        """Run a script.

        Args:
            script: Script to run.
            keys: KEYS of the script.
            *args: ARGV of the script.
            watch: Call `on_change` at the next change of a key that the script reads.
            notify_first: Deliver the script's messages to other clients before the reply to this
                one. Redis serves clients with pending output newest first, so a PING sent ahead
                of the call makes this client the oldest.

        Returns:
            The script's reply.

        Raises:
            ResponseError: The script failed.
            ConnectionError: The connection failed or was lost.
            TimeoutError: No reply arrived in time.
        """
        prefix = _PING if notify_first else _WATCH_NEXT if watch else b""
        protocol = self._protocol
        if protocol is None or not protocol.is_writable:
            protocol = await self._ready()
        command = pack_command("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            return await self._send(protocol, command, prefix)
        except NoScriptError:
            command = pack_command("EVAL", script.text, len(keys), *keys, *args)
            return await self._send(await self._ready(), command, prefix)

    async def open(self) -> None:
        """Connect now instead of at the first call.

        Raises:
            ConnectionError: The connection failed.
            TimeoutError: Redis did not respond in time.
        """
        await self._ready()

    async def close(self) -> None:
        """Close the connection, even while it is being opened. A later call opens a new one."""
        self._times_closed += 1
        self._disconnect(RedisConnectionError(_CLOSED))
        await asyncio.sleep(0)  # the transport closes in the next turn of the loop

    def _send(self, protocol: RedisProtocol, command: bytes, prefix: bytes) -> asyncio.Future[Any]:
        """Send `prefix` and `command`; return the future of the command's reply."""
        loop = asyncio.get_running_loop()
        if protocol.loop is not loop:  # the reply would never arrive in this loop
            raise RuntimeError("use a pool only in the event loop that used it first")
        now = loop.time()
        if prefix is _WATCH_NEXT and not self.tracks:
            prefix = b""
        if prefix:
            self._calls.append((None, now))
            command = prefix + command
        future: asyncio.Future[Any] = loop.create_future()
        self._calls.append((future, now))
        try:
            protocol.send(command)
        except RedisConnectionError as error:
            self._disconnect(error)
        else:
            if self._timer is None:
                self._timer = loop.call_at(now + self._timeout, self._check_timeout, loop)
        return future

    def _check_timeout(self, loop: asyncio.AbstractEventLoop) -> None:
        """Disconnect if the oldest pending reply is overdue."""
        self._timer = None
        if self._calls:
            deadline = self._calls[0][1] + self._timeout
            if deadline <= loop.time():
                self._disconnect(self._timeout_error())
            else:
                self._timer = loop.call_at(deadline, self._check_timeout, loop)

    def _timeout_error(self) -> RedisTimeoutError:
        return RedisTimeoutError(f"no reply within {self._timeout:g} s")

    async def _ready(self) -> RedisProtocol:
        """Return an open connection that is writable."""
        times_closed = self._times_closed
        try:
            async with asyncio.timeout(self._timeout):
                async with self._connecting:
                    protocol = self._protocol or await self._connect(times_closed)
                await protocol.wait_until_writable()
        except TimeoutError:
            error = self._timeout_error()
            self._disconnect(error)
            raise error from None
        if protocol is not self._protocol:
            raise RedisConnectionError("the connection was lost")
        return protocol

    async def _connect(self, times_closed: int) -> RedisProtocol:
        """Connect, unless the channel was closed since `times_closed` was read."""
        connection = await self._connect_tracking() if self.tracks else None
        if connection is None:
            connection = await open_connection(self._pool, protocol=2, timeout=self._timeout)
        if times_closed != self._times_closed:
            await connection.disconnect(nowait=True)
            raise RedisConnectionError(_CLOSED)
        self._protocol = RedisProtocol(
            connection, on_reply=self._on_reply, on_lost=self._disconnect
        )
        return self._protocol

    async def _connect_tracking(self) -> AbstractConnection | None:
        """Open a connection with client tracking; return None if the server does not allow it."""
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

    def _on_reply(self, reply: Any) -> None:
        if isinstance(reply, PushNotification):
            self._notify()
            return
        future, _ = self._calls.popleft()
        if future is not None and not future.done():
            _settle(future, reply)
        # The server is loading its data or is no longer the master: connect again.
        if isinstance(reply, RedisError) and (
            isinstance(reply, RedisConnectionError) or is_read_only(reply)
        ):
            self._disconnect(reply)

    def _disconnect(self, error: Exception) -> None:
        """Close the connection and fail all pending calls with `error`."""
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls, self._calls = self._calls, deque()
        for future, _ in calls:
            if future is not None and not future.done():
                future.set_exception(error)
        self._notify()

    def _notify(self) -> None:
        if self._on_change is not None:
            self._on_change()


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
