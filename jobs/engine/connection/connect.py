"""Connecting: which Redis is found out as late as that, and what keeps one from being used is said
in one line."""

import asyncio
import dataclasses
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import click
from arq.connections import RedisSettings
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

from jobs.engine.connection.failures import explained, is_wrong_password
from jobs.engine.connection.script_channel import OUTAGE, patience_of
from jobs.engine.connection.urls import Address
from jobs.engine.queue.names import QueueUrls
from jobs.errors import ServerError
from jobs.privacy.masking import mask_url
from jobs.settings import Settings, SettingsError, get_settings

RedisUrl = str | Callable[[Settings], str]
"""A URL, or how to find it out when a connection is needed."""

PATIENCE: Final = 5.0
"""Seconds that each try for a first answer may take, where the options do not allow more."""
OLDEST: Final = (6, 2)
"""The version from which Redis has all that the scripts call (ZMSCORE came last)."""


class BadSettingsError(SettingsError, click.ClickException):
    """A setting has a bad value, found out under the `arq` command: one line there too."""

    exit_code = 2


class NoRedisError(ServerError, click.ClickException):
    """No Redis that can be used. Both the `arq` and the `jobs` command print it as one line."""


def configured_url(settings: Settings) -> str:
    """REDIS_URL. Raises NoRedisError when it is not set."""
    if settings.redis_url is None:
        raise NoRedisError("no Redis: set REDIS_URL, or start one for this folder with `jobs up`")
    return settings.redis_url.get_secret_value()


def resolve(url: RedisUrl, queue: str | None = None) -> str:
    """The URL itself; where it is not fixed, TASK_QUEUE_URLS may name another for the queue.
    Raises NoRedisError where it cannot be found out."""
    if isinstance(url, str):
        return url
    try:
        settings = get_settings()
        own = QueueUrls.from_settings(settings, "").of(queue) if queue else ""
        return own or url(settings)
    except NoRedisError:
        raise
    except (ServerError, SettingsError) as error:
        raise NoRedisError(str(error)) from error


class LazyRedisSettings(RedisSettings):
    """arq's settings, found out when arq connects: to make one opens and reads nothing.

    The first look at any of its values resolves the URL and connects, so that a missing server ends
    in NoRedisError, which is one line, instead of in arq's traceback. queue: whose Redis it is.
    """

    def __init__(self, url: RedisUrl, queue: str | None = None) -> None:
        self.url = url
        self.queue = queue
        self._resolved: RedisSettings | None = None

    def __repr__(self) -> str:
        url = mask_url(self.url) if isinstance(self.url, str) else self.url
        return f"{type(self).__name__}({url!r}, {self.queue!r})"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def resolve(self) -> str:
        """Its URL; raises as `resolve`."""
        return resolve(self.url, self.queue)

    @property
    def resolved(self) -> RedisSettings:
        if self._resolved is None:
            address = Address.of(self.resolve())
            found = address.arq_settings()
            # A loop may run in this thread, and arq asks without awaiting. It blocks for half a
            # minute at most: nothing else runs yet in a process that has no Redis.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, _probe(address)).result()
            self._resolved = found
        return self._resolved


def _forward(name: str) -> property:
    return property(lambda self: getattr(self.resolved, name))


for _field in dataclasses.fields(RedisSettings):
    setattr(LazyRedisSettings, _field.name, _forward(_field.name))


async def connect(redis: str | RedisSettings) -> ConnectionPool:
    """Connections to a Redis that has answered, and is not too old.

    redis: a URL with any of redis-py's options, or arq's settings. Raises NoRedisError, one line,
    when there is no answer after some tries, and UsageError where the URL is none.
    """
    return await connections_to(address_of(redis))


def address_of(redis: str | RedisSettings) -> Address:
    return Address.of(redis.resolve() if isinstance(redis, LazyRedisSettings) else redis)


async def connections_to(address: Address, *, tried: int = 0) -> ConnectionPool:
    """As `connect`. tried: the tries that were made already; one is made all the same."""
    connections = address.connections()
    client = Redis(connection_pool=connections)
    try:
        for tries_left in reversed(range(max(address.tries - tried, 1))):
            try:
                async with asyncio.timeout(patience_of(connections.connection_kwargs, PATIENCE)):
                    await client.ping()
                    await refuse_old(client)
                break
            except OUTAGE as error:
                if not tries_left or not is_passing(error):
                    raise unusable(address, error) from error
                await asyncio.sleep(address.pause)
    except BaseException:
        await connections.disconnect()
        raise
    return connections


def unusable(address: Address, error: Exception) -> NoRedisError:
    """One line on what keeps this Redis from being used."""
    what = "no answer from Redis at {}" if is_passing(error) else "the Redis at {} cannot be used"
    return NoRedisError(f"{what.format(address.shown)}: {explained(error)}")


async def _probe(address: Address) -> None:
    await (await connections_to(address)).disconnect()


async def refuse_old(redis: Redis) -> None:
    """Raises NoRedisError for a Redis that lacks commands which the scripts call."""
    try:
        server: Mapping[str, Any] = await redis.info("server")
    except NoPermissionError:
        return  # a user who may not ask; what is missing shows when it is called
    if is_too_old(version := str(server.get("redis_version", ""))):
        oldest = ".".join(map(str, OLDEST))
        raise NoRedisError(f"Redis {version} is too old: {oldest} or newer is needed")


def is_too_old(version: str) -> bool:
    """version: as INFO has it, such as 7.0.15; one that is none is let through."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return len(numbers) == len(OLDEST) and tuple(numbers) < OLDEST


def is_passing(error: Exception) -> bool:
    """Whether Redis may just be coming up; a wrong password or certificate is there to stay."""
    lost = isinstance(error, OSError | RedisConnectionError | RedisTimeoutError)
    distrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
    return lost and not distrusted and not is_wrong_password(error)
