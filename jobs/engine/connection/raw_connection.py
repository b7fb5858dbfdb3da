"""Connections that report a lost transport in one way on every event loop."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)


class _Reporting(AbstractConnection):
    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        writer = self._writer  # redis-py forgets it when the write fails
        try:
            await super().send_packed_command(command, check_health)
        except (RuntimeError, AttributeError) as error:
            # A write after a transport's end passes without a word in asyncio; uvloop raises the
            # first, and asyncio of Python 3.13.0 the second.
            if writer is None or not writer.transport.is_closing():
                raise
            raise RedisConnectionError("the connection is closed") from error


_MADE: Final[dict[type[AbstractConnection], type[AbstractConnection]]] = {}


def reporting(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same kind of connection, by which a command on a lost one is an outage."""
    if issubclass(kind, _Reporting):
        return kind
    if kind not in _MADE:
        _MADE[kind] = type(kind.__name__, (_Reporting, kind), {})
    return _MADE[kind]


PATIENCE: Final = 10.0
"""Seconds without an answer after which a connection is given up."""


def connection_like(
    pool: ConnectionPool, *, protocol: int, patience: float = PATIENCE
) -> AbstractConnection:
    """A connection with the options of `pool`, on which any time may pass without an answer.

    patience: seconds that connecting may take, where those options do not say.
    """
    options: dict[str, Any] = dict(pool.connection_kwargs)
    limit = options.pop("socket_timeout", None) or patience
    options["socket_connect_timeout"] = options.get("socket_connect_timeout") or limit
    options |= {"protocol": protocol, "health_check_interval": 0}
    return reporting(pool.connection_class)(**options)


async def connected_like(
    pool: ConnectionPool, *command: str, protocol: int, patience: float = PATIENCE
) -> AbstractConnection:
    """Such a connection, made, and with `command` carried out where there is one.

    Raises TimeoutError when that takes longer than both `patience` and what the options allow.
    """
    connection = connection_like(pool, protocol=protocol, patience=patience)
    try:
        async with asyncio.timeout(patience_of(pool.connection_kwargs, patience)):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
            if command:
                await connection.send_command(*command)
                await connection.read_response()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


def patience_of(options: Mapping[str, Any], patience: float) -> float:
    """Seconds that a first answer may take, connecting included: what the options of a connection
    allow. patience: where they say nothing of answers."""
    connecting, answering = options.get("socket_connect_timeout"), options.get("socket_timeout")
    return max(connecting or 0, answering or patience)
