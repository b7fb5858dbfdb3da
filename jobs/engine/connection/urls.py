"""Where a Redis is, and how it is spoken to: one server, or the master that Sentinels know.

From a URL, with all of redis-py's options in its query, or from arq's settings:

    redis://user:password@host:6379/0
    rediss://host:6380/0?ssl_ca_certs=/etc/ca.pem
    unix:///run/redis.sock?db=0
    redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0?sentinel_password=…
    rediss+sentinel://…

Options that begin with `sentinel_` are for the connections to the Sentinels; with `rediss+sentinel`
those are under TLS too, by the same certificates.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from arq.connections import RedisSettings
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import RedisError

from jobs.engine.connection.raw_connection import reporting_class
from jobs.errors import UsageError
from jobs.privacy.masking import mask_url

MAX_CONNECTIONS: Final = 100
"""More callers than this wait for each other, instead of opening a socket each."""
_DEFAULTS: Final = {
    "max_connections": MAX_CONNECTIONS,
    "timeout": None,
    "socket_connect_timeout": 5.0,
}
_DEFAULTS_BEHIND_SENTINELS: Final = {**_DEFAULTS, "socket_timeout": 10.0}
"""A master that is frozen or cut off must not hold its callers until the network gives up."""
_DEFAULTS_OF_SENTINELS: Final = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}
"""Seconds: one that is gone must not keep the others from being asked."""
_SENTINEL: Final = "sentinel_"
_SENTINEL_PORT: Final = 26379
_URL_FORM: Final = (
    "it is like redis://user:password@host:6379/0, rediss://…, unix:///path?db=0 or "
    "redis+sentinel://…, and special characters of a password are written as %2F for /"
)
_UNQUOTED: Final = (
    'an "@" follows a "/", "?" or "#": write special characters, as those of a password, as %2F '
    "for /, %3F for ?, %23 for # and %40 for @"
)
_SCHEMES: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}

_ARQ_NAMES: Final = {"path": "unix_socket_path", "db": "database",
                     "socket_connect_timeout": "conn_timeout"}  # fmt: skip
_REDIS_NAMES: Final = {arq: redis for redis, arq in _ARQ_NAMES.items()}
_FIELDS: Final = frozenset(one.name for one in dataclasses.fields(RedisSettings))
_NOT_FOR_REDIS: Final = {"host", "port", "unix_socket_path", "ssl", "sentinel", "sentinel_master",
                         "conn_retries", "conn_retry_delay"}  # fmt: skip
_PASSED_TO_SENTINEL: Final = {"db", "username", "password"}
"""All that arq hands on where it asks Sentinels, besides whether there is TLS."""


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the master of the moment. Callers wait where there are too many of them, as
    with one server; closing it closes the connections to the Sentinels too."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


@dataclass(frozen=True, slots=True)
class Address:
    """shown: it, without the password. options: redis-py's, of the connections and of their pool.
    sentinels: host and port of each, where `service` is the name of a master that they watch.
    tries, pause: how often it is asked for a first answer, and the seconds in between.
    """

    shown: str
    options: Mapping[str, Any] = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = "mymaster"
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tries: int = 5
    pause: float = 1.0

    @classmethod
    def of(cls, redis: str | RedisSettings) -> "Address":
        """Raises UsageError for what cannot be one."""
        if isinstance(redis, RedisSettings):
            return _of_settings(redis)
        if _has_stray_at(redis):  # parts of a password would pass for a host, a path …
            raise UsageError(f"not a Redis URL: {_UNQUOTED}")
        try:
            if redis.partition("://")[0].lower() in _SCHEMES:
                return _of_sentinel_url(redis)
            return cls(mask_url(redis), parse_url(redis))
        except ValueError as error:
            # The parsers' other texts quote parts of the URL: that may be of the password.
            text = str(error)
            reason = text if text.startswith("Invalid value for ") else _URL_FORM
            raise UsageError(f"not a Redis URL: {mask_url(redis)}: {reason}") from None

    def connections(self) -> ConnectionPool:
        """A pool of connections, none of them open. Raises UsageError for a wrong option."""
        defaults = _DEFAULTS_BEHIND_SENTINELS if self.sentinels else _DEFAULTS
        options = {**defaults, **self.options}
        try:
            if self.sentinels:
                theirs = {**_DEFAULTS_OF_SENTINELS, **self.sentinel_options}
                sentinel = Sentinel(self.sentinels, sentinel_kwargs=theirs)  # type: ignore[no-untyped-call]  # redis-py
                pool: ConnectionPool = SentinelPool(self.service, sentinel, **options)  # type: ignore[no-untyped-call]  # redis-py
            else:
                pool = BlockingConnectionPool(**options)
            pool.connection_class = reporting_class(pool.connection_class)
            pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        except (TypeError, ValueError, RedisError) as error:
            reason = str(error).rpartition("__init__() ")[2]
            raise UsageError(f"not a Redis URL: {self.shown}: {reason}") from None
        return pool

    def arq_settings(self) -> RedisSettings:
        """The same for arq. Raises UsageError for options that arq cannot pass on."""
        options = dict(self.options)
        kind = options.pop("connection_class", None)
        tls = kind is not None and issubclass(kind, SSLConnection)
        unknown = {_ARQ_NAMES.get(name, name) for name in options} - _FIELDS
        if self.sentinels:
            of_sentinels = {_SENTINEL + n for n in self.sentinel_options if not n.startswith("ssl")}
            unknown = (options.keys() - _PASSED_TO_SENTINEL) | of_sentinels
            options |= {"host": list(self.sentinels), "sentinel": True}
            options["sentinel_master"] = self.service
        if unknown:
            raise UsageError(f"arq cannot pass on the Redis option {min(unknown)} ({self.shown})")
        named = {_ARQ_NAMES.get(name, name): value for name, value in options.items()}
        return RedisSettings(**named, ssl=tls)


def _has_stray_at(url: str) -> bool:
    """Whether an "@" stands where no user ends: in the path, or in options though there is no user
    before. A file may have one in its name."""
    head = _head(url)
    path, _, options = url[len(head) :].partition("?")
    return head != "unix://" and ("@" in path or ("@" in options and "@" not in head))


def _head(url: str) -> str:
    """Its scheme, user and hosts."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + re.split("[/?#]", rest, maxsplit=1)[0]


def _of_sentinel_url(url: str) -> Address:
    head = _head(url)
    scheme, _, places = head.partition("://")
    user, _, hosts = places.rpartition("@")
    # Without the hosts: newer Pythons refuse brackets that are not around the only one.
    parts = urlsplit(f"redis://redis{url[len(head) :]}")
    service, _, db = parts.path.strip("/").partition("/")
    query = parse_qsl(parts.query)
    own = [(name, value) for name, value in query if not name.startswith(_SENTINEL)]
    theirs = [(n.removeprefix(_SENTINEL), v) for n, v in query if n.startswith(_SENTINEL)]
    options = _parsed(f"{_SCHEMES[scheme.lower()]}://{user}@redis/{db}", own)
    sentinel_options = _parsed("redis://redis", theirs)
    if options.pop("connection_class", None) is SSLConnection:
        tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
        sentinel_options = {"ssl": True, **tls, **sentinel_options}
        options["connection_class"] = SentinelManagedSSLConnection
    else:
        options["connection_class"] = SentinelManagedConnection
    return Address(
        mask_url(url),
        options,
        tuple(_host_and_port(host) for host in hosts.split(",")),
        unquote(service) or "mymaster",
        sentinel_options,
    )


def _parsed(url: str, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """redis-py's options of a URL whose host does not matter."""
    quoted = urlencode([(name, quote(value)) for name, value in query])  # it unquotes twice
    options: dict[str, Any] = dict(parse_url(f"{url}?{quoted}"))
    del options["host"]
    return options


def _host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(f"//{address}")
    if not parts.hostname:
        raise ValueError("a Sentinel has no host")
    return parts.hostname, parts.port or _SENTINEL_PORT


def _of_settings(said: RedisSettings) -> Address:
    """With all that they say, also what arq's own way to Sentinel drops."""
    given = {name: getattr(said, name) for name in _FIELDS - _NOT_FOR_REDIS}
    tls = said.ssl and (said.sentinel or not said.unix_socket_path)  # a socket has none, as in arq
    options = {
        _REDIS_NAMES.get(name, name): value
        for name, value in given.items()
        if value is not None and (tls or not name.startswith("ssl"))
    }
    options["max_connections"] = said.max_connections
    tries, pause = said.conn_retries + 1, float(said.conn_retry_delay)
    if said.sentinel:
        if isinstance(said.host, str):
            raise UsageError("RedisSettings(sentinel=True) wants a list of (host, port) as host")
        options["connection_class"] = (
            SentinelManagedSSLConnection if tls else SentinelManagedConnection
        )
        hosts = ",".join(f"{host}:{port}" for host, port in said.host)
        return Address(
            f"redis+sentinel://{hosts}/{said.sentinel_master}",
            options,
            tuple(said.host),
            said.sentinel_master,
            tries=tries,
            pause=pause,
        )
    if said.unix_socket_path:
        shown = f"unix://{said.unix_socket_path}"
        options |= {
            "path": said.unix_socket_path,
            "connection_class": UnixDomainSocketConnection,
        }
    else:
        shown = f"redis://{said.host}:{said.port}"
        options |= {"host": said.host, "port": said.port}
        if tls:
            options["connection_class"] = SSLConnection
    return Address(shown, options, tries=tries, pause=pause)


def for_another_loop(pool: ConnectionPool) -> ConnectionPool:
    """A pool of the same connections that is free of what belongs to this event loop: its clients
    of the Sentinels."""
    if not isinstance(pool, SentinelConnectionPool):
        return pool
    known = pool.sentinel_manager
    places = [client.connection_pool.connection_kwargs for client in known.sentinels]
    again = Sentinel(  # type: ignore[no-untyped-call]  # redis-py
        [(place["host"], place["port"]) for place in places],
        known.min_other_sentinels,
        known.sentinel_kwargs,
        **known.connection_kwargs,
    )
    own = {
        name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"
    }
    return SentinelPool(  # type: ignore[no-untyped-call]  # redis-py
        pool.service_name,
        again,
        is_master=pool.is_master,
        connection_class=pool.connection_class,
        **own,
    )
