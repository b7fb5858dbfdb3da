"""Single connections with the options of a pool, and uniform errors for lost connections."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)

REPLY_TIMEOUT: Final = 10.0
"""Default timeout of a reply, in seconds."""


class _ReportingConnection(AbstractConnection):
    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        writer = self._writer  # redis-py drops its reference if the write fails
        try:
            await super().send_packed_command(command, check_health)
        except (RuntimeError, AttributeError) as error:
            # asyncio ignores a write to a closed transport. uvloop raises RuntimeError, and
            # asyncio of Python 3.13.0 raises AttributeError.
            if writer is None or not writer.transport.is_closing():
                raise
            raise RedisConnectionError("the connection is closed") from error


_REPORTING_CLASSES: Final[dict[type[AbstractConnection], type[AbstractConnection]]] = {}


def reporting_class(connection_class: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return a subclass that raises ConnectionError for every command on a closed connection.

    Args:
        connection_class: Class of connections to redis-py.

    Returns:
        The subclass, or the class itself if it already behaves this way.
    """
    if issubclass(connection_class, _ReportingConnection):
        return connection_class
    if connection_class not in _REPORTING_CLASSES:
        _REPORTING_CLASSES[connection_class] = type(
            connection_class.__name__, (_ReportingConnection, connection_class), {}
        )
    return _REPORTING_CLASSES[connection_class]


def make_connection(
    pool: ConnectionPool, *, protocol: int, timeout: float = REPLY_TIMEOUT
) -> AbstractConnection:
    """Create an unopened connection with the options of a pool and no timeout for replies.

    Args:
        pool: Pool that provides the options.
        protocol: Version of the Redis protocol, 2 or 3.
        timeout: Timeout for connecting, in seconds, if the options set none.

    Returns:
        A connection that is not connected yet.
    """
    options: dict[str, Any] = dict(pool.connection_kwargs)
    limit = options.pop("socket_timeout", None) or timeout
    options["socket_connect_timeout"] = options.get("socket_connect_timeout") or limit
    options |= {"protocol": protocol, "health_check_interval": 0}
    return reporting_class(pool.connection_class)(**options)


async def open_connection(
    pool: ConnectionPool, *command: str, protocol: int, timeout: float = REPLY_TIMEOUT
) -> AbstractConnection:
    """Open a connection as from `make_connection`, and run a first command on it.

    Args:
        pool: Pool that provides the options.
        *command: Words of the first command. Without words, no command is sent.
        protocol: Version of the Redis protocol, 2 or 3.
        timeout: Timeout in seconds, if the options set none.

    Returns:
        The open connection.

    Raises:
        TimeoutError: Connecting and the first reply took longer than both `timeout` and the
            options allow.
        RedisError: Redis refused the connection or the command.
    """
    connection = make_connection(pool, protocol=protocol, timeout=timeout)
    try:
        async with asyncio.timeout(first_reply_timeout(pool.connection_kwargs, timeout)):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
            if command:
                await connection.send_command(*command)
                await connection.read_response()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


def first_reply_timeout(options: Mapping[str, Any], default: float) -> float:
    """Return the timeout of the first reply, connecting included.

    Args:
        options: Options of the connection.
        default: Timeout of a reply, in seconds, if the options set none.

    Returns:
        The larger of the timeouts for connecting and for a reply, in seconds.
    """
    connect_timeout, reply_timeout = (
        options.get("socket_connect_timeout"),
        options.get("socket_timeout"),
    )
    return max(connect_timeout or 0, reply_timeout or default)
