"""Opens connections to a Redis that has answered and is recent enough."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoPermissionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from jobs.engine.connection.failures import TRANSIENT_ERRORS, explain, is_wrong_password
from jobs.engine.connection.raw_connection import first_reply_timeout
from jobs.engine.connection.urls import Address
from jobs.errors import ServerError

PATIENCE: Final = 5.0
"""Seconds that each try for a first answer may take, where the options do not allow more."""
OLDEST: Final = (6, 2)
"""The version from which Redis has all that the scripts call (ZMSCORE came last)."""


class NoRedisError(ServerError):
    """No usable Redis. The message is one line that says why."""


async def connect_pool(address: Address, *, tried: int = 0) -> ConnectionPool:
    """As `connect`. tried: the tries that were made already; one is made all the same."""
    connections = address.connections()
    client = Redis(connection_pool=connections)
    try:
        for tries_left in reversed(range(max(address.tries - tried, 1))):
            try:
                async with asyncio.timeout(
                    first_reply_timeout(connections.connection_kwargs, PATIENCE)
                ):
                    await client.ping()
                    await require_supported_version(client)
                break
            except TRANSIENT_ERRORS as error:
                if not tries_left or not may_recover(error):
                    raise connection_failure(address, error) from error
                await asyncio.sleep(address.pause)
    except BaseException:
        await connections.disconnect()
        raise
    return connections


def connection_failure(address: Address, error: Exception) -> NoRedisError:
    """One line on what keeps this Redis from being used."""
    what = "no answer from Redis at {}" if may_recover(error) else "the Redis at {} cannot be used"
    return NoRedisError(f"{what.format(address.shown)}: {explain(error)}")


async def require_supported_version(redis: Redis) -> None:
    """Raises NoRedisError for a Redis that lacks commands which the scripts call."""
    try:
        server: Mapping[str, Any] = await redis.info("server")
    except NoPermissionError:
        return  # a user who may not ask; what is missing shows when it is called
    if is_unsupported(version := str(server.get("redis_version", ""))):
        oldest = ".".join(map(str, OLDEST))
        raise NoRedisError(f"Redis {version} is too old: {oldest} or newer is needed")


def is_unsupported(version: str) -> bool:
    """version: as INFO has it, such as 7.0.15; one that is none is let through."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return len(numbers) == len(OLDEST) and tuple(numbers) < OLDEST


def may_recover(error: Exception) -> bool:
    """Whether Redis may just be coming up; a wrong password or certificate is there to stay."""
    lost = isinstance(error, OSError | RedisConnectionError | RedisTimeoutError)
    distrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
    return lost and not distrusted and not is_wrong_password(error)
