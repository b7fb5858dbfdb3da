"""Connections that report a lost transport in one way on every event loop."""

from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError


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
