"""Connections that report a lost transport in one way on every event loop."""

from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError


class _Reporting(AbstractConnection):
    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            # asyncio's transport lets a write go that comes after its end; uvloop's raises this.
            raise RedisConnectionError("the connection is closed") from error


_MADE: Final[dict[type[AbstractConnection], type[AbstractConnection]]] = {}


def reporting(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same kind of connection, by which a command on a lost one is no RuntimeError."""
    if issubclass(kind, _Reporting):
        return kind
    if kind not in _MADE:
        _MADE[kind] = type(kind.__name__, (_Reporting, kind), {})
    return _MADE[kind]
