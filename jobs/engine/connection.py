"""Which Redis: from a URL to arq's settings, found out as late as connecting."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Final

import click
from arq.connections import RedisSettings
from redis import Redis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    RedisError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from jobs.errors import ServerError, UsageError
from jobs.rules.masking import HIDDEN, mask_url
from settings import Settings, SettingsError, get_settings

RedisUrl = str | Callable[[Settings], str]
"""A URL, or how to find it out when a connection is needed."""

_ARQ_NAMES: Final = {"path": "unix_socket_path", "db": "database",
                     "socket_connect_timeout": "conn_timeout"}  # fmt: skip
TRIES: Final = 5
_URL_FORM: Final = (
    "it is like redis://user:password@host:6379/0, rediss://… or unix:///path?db=0, "
    "and special characters of a password are written as %2F for /"
)


class BadSettingsError(SettingsError, click.ClickException):
    """A setting has a bad value, found out under the `arq` command: one line there too."""

    exit_code = 2


class NoRedisError(ServerError, click.ClickException):
    """No Redis to connect to. Both the `arq` and the `jobs` command print it as one line."""


def configured_url(settings: Settings) -> str:
    """REDIS_URL. Raises NoRedisError when it is not set."""
    if settings.redis_url is None:
        raise NoRedisError("no Redis: set REDIS_URL, or start one for this folder with `jobs up`")
    return settings.redis_url.get_secret_value()


def resolve(url: RedisUrl) -> str:
    """The URL itself. Raises NoRedisError where it cannot be found out."""
    if isinstance(url, str):
        return url
    try:
        return url(get_settings())
    except NoRedisError:
        raise
    except (ServerError, SettingsError) as error:
        raise NoRedisError(str(error)) from error


def url_options(url: str) -> dict[str, Any]:
    """What a `redis://`, `rediss://` or `unix://` URL says, by redis-py's names.

    Raises UsageError, which shows nothing of the URL that may be secret.
    """
    try:
        return dict(parse_url(url))
    except ValueError as error:
        # The parser's other texts quote parts of the URL: that may be of the password.
        text = str(error)
        reason = text if text.startswith("Invalid value for ") else _URL_FORM
        raise UsageError(f"not a Redis URL: {mask_url(url)}: {reason}") from None


def arq_settings(url: str) -> RedisSettings:
    """arq's settings for a `redis://`, `rediss://` or `unix://` URL, its options included.

    Raises UsageError for options that arq's settings cannot carry.
    """
    options = url_options(url)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    named = {_ARQ_NAMES.get(name, name): value for name, value in options.items()}
    unknown = named.keys() - {field.name for field in dataclasses.fields(RedisSettings)}
    if unknown:
        shown = mask_url(url)
        # A password with a "?" in it would be taken for options.
        name = "among its options" if shown.endswith(HIDDEN) else min(unknown)
        raise UsageError(f"arq cannot pass on the Redis option {name} ({shown})")
    return RedisSettings(**named)


class LazyRedisSettings(RedisSettings):
    """arq's settings, found out when arq connects: to make one opens and reads nothing.

    The first look at any of its values resolves the URL and asks Redis for a PING, so that a
    missing server ends in NoRedisError, which is one line, instead of in arq's traceback.
    """

    def __init__(self, url: RedisUrl) -> None:
        self.url = url
        self._resolved: RedisSettings | None = None

    def __repr__(self) -> str:
        url = mask_url(self.url) if isinstance(self.url, str) else self.url
        return f"{type(self).__name__}({url!r})"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    @property
    def resolved(self) -> RedisSettings:
        if self._resolved is None:
            url = resolve(self.url)
            found = arq_settings(url)
            _await_answer(url, found)
            self._resolved = found
        return self._resolved


def _forward(name: str) -> property:
    return property(lambda self: getattr(self.resolved, name))


for _field in dataclasses.fields(RedisSettings):
    setattr(LazyRedisSettings, _field.name, _forward(_field.name))


def _await_answer(url: str, settings: RedisSettings) -> None:
    """Blocks for a few seconds at most: nothing else runs yet in a process that has no Redis."""
    with Redis.from_url(url, socket_connect_timeout=settings.conn_timeout) as redis:
        for tries_left in reversed(range(TRIES)):
            try:
                redis.ping()
            except (RedisError, OSError) as error:
                if not tries_left or not is_passing(error):
                    raise NoRedisError(no_answer(url, error)) from error
                time.sleep(settings.conn_retry_delay)
            else:
                return


def is_passing(error: Exception) -> bool:
    """Whether Redis may just be coming up; a wrong password or database is there to stay."""
    # redis-py wraps some refusals into what it raises for a lost connection.
    refused = (AuthenticationError, AuthorizationError)
    if isinstance(error, refused) or isinstance(error.__cause__, refused):
        return False
    return isinstance(error, OSError | RedisConnectionError | RedisTimeoutError)


def no_answer(url: str, error: Exception) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"no answer from Redis at {mask_url(url)}: {reason}"
