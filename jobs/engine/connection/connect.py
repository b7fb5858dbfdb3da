"""Opens connection pools. Checks that Redis responds and that its version is supported."""

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

CONNECT_TIMEOUT: Final = 5.0
"""Default timeout of each connection attempt, in seconds. Connection options can raise it."""
OLDEST_VERSION: Final = (6, 2)
"""Oldest supported Redis version: it introduced ZMSCORE, the newest command in the scripts."""


class NoRedisError(ServerError):
    """Redis cannot be used. The message gives the reason in one line."""


async def connect_pool(address: Address, *, tries_used: int = 0) -> ConnectionPool:
    """Open a connection pool and wait until Redis responds.

    Args:
        address: Address of the server.
        tries_used: Number of attempts already made. At least one more is made.

    Returns:
        A pool whose server responded and has a supported version.

    Raises:
        NoRedisError: Redis did not respond, refused the connection, or is too old.
        UsageError: The address has an invalid option.
    """
    connections = address.connections()
    client = Redis(connection_pool=connections)
    try:
        for tries_left in reversed(range(max(address.tries - tries_used, 1))):
            try:
                limit = first_reply_timeout(connections.connection_kwargs, CONNECT_TIMEOUT)
                async with asyncio.timeout(limit):
                    await client.ping()
                    await require_supported_version(client)
                break
            except TRANSIENT_ERRORS as error:
                if not tries_left or not may_recover(error):
                    raise connection_failure(address, error) from error
                await asyncio.sleep(address.retry_delay)
    except BaseException:
        await connections.disconnect()
        raise
    return connections


def connection_failure(address: Address, error: Exception) -> NoRedisError:
    """Return the error to raise when this Redis cannot be used.

    Args:
        address: Address of the server.
        error: Error raised by the last connection attempt.

    Returns:
        An error whose one-line message has the address without its password.
    """
    url = address.masked_url
    if may_recover(error):
        return NoRedisError(f"no response from Redis at {url}: {explain(error)}")
    return NoRedisError(f"cannot use Redis at {url}: {explain(error)}")


async def require_supported_version(redis: Redis) -> None:
    """Check that Redis has every command that the scripts call.

    Args:
        redis: Client of the server to check.

    Raises:
        NoRedisError: The server is older than `OLDEST_VERSION`.
    """
    try:
        server: Mapping[str, Any] = await redis.info("server")
    except NoPermissionError:
        return  # this user may not call INFO; a missing command shows when a script calls it
    if is_unsupported(version := str(server.get("redis_version", ""))):
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise NoRedisError(f"Redis {version} is too old: use {oldest} or newer")


def is_unsupported(version: str) -> bool:
    """Return whether a server version is too old.

    Args:
        version: Version as reported by INFO, such as `7.0.15`. Unparsable versions pass.

    Returns:
        True if the version is older than `OLDEST_VERSION`.
    """
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return len(numbers) == len(OLDEST_VERSION) and tuple(numbers) < OLDEST_VERSION


def may_recover(error: Exception) -> bool:
    """Return whether a later connection attempt can succeed.

    A wrong password or an untrusted certificate does not fix itself.

    Args:
        error: Error raised by a connection attempt.

    Returns:
        True if Redis may just be starting.
    """
    is_disconnect = isinstance(error, OSError | RedisConnectionError | RedisTimeoutError)
    is_untrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
    return is_disconnect and not is_untrusted and not is_wrong_password(error)
