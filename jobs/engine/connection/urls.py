"""Parses the address of a Redis: a single server, or a master that Sentinels monitor.

An address is a URL with redis-py's options in the query, or arq's RedisSettings:

    redis://user:password@host:6379/0
    rediss://host:6380/0?ssl_ca_certs=/etc/ca.pem
    unix:///run/redis.sock?db=0
    redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0?sentinel_password=…
    rediss+sentinel://…

Options with the prefix `sentinel_` apply to the connections to the Sentinels. With
`rediss+sentinel`, these connections use TLS, too, with the same certificates.
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
"""Size of a pool. Further callers wait for a free connection instead of opening a socket."""
_DEFAULTS: Final = {
    "max_connections": MAX_CONNECTIONS,
    "timeout": None,
    "socket_connect_timeout": 5.0,
}
_DEFAULTS_BEHIND_SENTINELS: Final = {**_DEFAULTS, "socket_timeout": 10.0}
"""A reply timeout: callers must not wait on a frozen or unreachable master until TCP times out."""
_DEFAULTS_OF_SENTINELS: Final = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}
"""Short timeouts, in seconds: an unreachable Sentinel must not delay asking the others."""
_SENTINEL: Final = "sentinel_"
_SENTINEL_PORT: Final = 26379
_URL_FORM: Final = (
    "use redis://user:password@host:6379/0, rediss://…, unix:///path?db=0 or "
    "redis+sentinel://…, and percent-encode special characters in the password (%2F for /)"
)
_UNQUOTED: Final = (
    'an "@" follows a "/", "?" or "#": percent-encode special characters, such as those in a '
    "password: %2F for /, %3F for ?, %23 for #, %40 for @"
)
_SCHEMES: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}

_ARQ_NAMES: Final = {"path": "unix_socket_path", "db": "database",
                     "socket_connect_timeout": "conn_timeout"}  # fmt: skip
_REDIS_NAMES: Final = {arq: redis for redis, arq in _ARQ_NAMES.items()}
_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(RedisSettings))
_NOT_FOR_REDIS: Final = {"host", "port", "unix_socket_path", "ssl", "sentinel", "sentinel_master",
                         "conn_retries", "conn_retry_delay"}  # fmt: skip
_PASSED_TO_SENTINEL: Final = {"db", "username", "password"}
"""Options that arq passes on to a connection behind Sentinels, besides the use of TLS."""


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Pool of connections to the current master.

    If all connections are in use, callers wait, as with a single server. Disconnecting the pool
    also closes the connections to the Sentinels.
    """

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Disconnect from the master and, if `inuse_connections` is set, from the Sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


@dataclass(frozen=True, slots=True)
class Address:
    """Address of a Redis, with its connection options.

    Attributes:
        masked_url: URL without the password, for messages.
        options: redis-py options of the connections and of their pool.
        sentinels: Host and port of each Sentinel. Empty for a single server.
        service: Name of the master that the Sentinels monitor.
        sentinel_options: redis-py options of the connections to the Sentinels.
        tries: Number of connection attempts.
        retry_delay: Delay between two attempts, in seconds.
    """

    masked_url: str
    options: Mapping[str, Any] = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = "mymaster"
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tries: int = 5
    retry_delay: float = 1.0

    @classmethod
    def of(cls, redis: str | RedisSettings) -> "Address":
        """Parse an address.

        Args:
            redis: URL, or arq's settings.

        Returns:
            The address.

        Raises:
            UsageError: The URL is malformed. The message does not contain the password.
        """
        if isinstance(redis, RedisSettings):
            return _of_settings(redis)
        if _has_stray_at(redis):  # parts of a password would be taken for a host or a path
            raise UsageError(f"not a Redis URL: {_UNQUOTED}")
        try:
            if redis.partition("://")[0].lower() in _SCHEMES:
                return _of_sentinel_url(redis)
            return cls(mask_url(redis), parse_url(redis))
        except ValueError as error:
            # The parsers' other messages quote parts of the URL, perhaps of the password.
            text = str(error)
            reason = text if text.startswith("Invalid value for ") else _URL_FORM
            raise UsageError(f"not a Redis URL: {mask_url(redis)}: {reason}") from None

    def connections(self) -> ConnectionPool:
        """Create a pool without opening a connection.

        Returns:
            The pool.

        Raises:
            UsageError: An option is unknown or invalid.
        """
        defaults = _DEFAULTS_BEHIND_SENTINELS if self.sentinels else _DEFAULTS
        options = {**defaults, **self.options}
        try:
            if self.sentinels:
                sentinel_options = {**_DEFAULTS_OF_SENTINELS, **self.sentinel_options}
                sentinel = Sentinel(self.sentinels, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]  # redis-py
                pool: ConnectionPool = SentinelPool(self.service, sentinel, **options)  # type: ignore[no-untyped-call]  # redis-py
            else:
                pool = BlockingConnectionPool(**options)
            pool.connection_class = reporting_class(pool.connection_class)
            pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        except (TypeError, ValueError, RedisError) as error:
            reason = _reason(error)
            raise UsageError(f"not a Redis URL: {self.masked_url}: {reason}") from None
        return pool

    def arq_settings(self) -> RedisSettings:
        """Convert the address to arq's settings.

        Returns:
            Settings for arq's own worker and pool.

        Raises:
            UsageError: The address has options that arq does not support.
        """
        options = dict(self.options)
        connection_class = options.pop("connection_class", None)
        tls = connection_class is not None and issubclass(connection_class, SSLConnection)
        unknown = {_ARQ_NAMES.get(name, name) for name in options} - _FIELDS
        if self.sentinels:
            of_sentinels = {_SENTINEL + n for n in self.sentinel_options if not n.startswith("ssl")}
            unknown = (options.keys() - _PASSED_TO_SENTINEL) | of_sentinels
            options |= {"host": list(self.sentinels), "sentinel": True}
            options["sentinel_master"] = self.service
        if unknown:
            raise UsageError(
                f"arq does not support the Redis option {min(unknown)} ({self.masked_url})"
            )
        named = {_ARQ_NAMES.get(name, name): value for name, value in options.items()}
        return RedisSettings(**named, ssl=tls)


def _has_stray_at(url: str) -> bool:
    """Return whether an "@" does not end the user: it is in the path, or in the options of a URL
    without a user. The path of a socket may contain an "@"."""
    head = _head(url)
    path, _, options = url[len(head) :].partition("?")
    return head != "unix://" and ("@" in path or ("@" in options and "@" not in head))


def _head(url: str) -> str:
    """Return the scheme, user and hosts of a URL."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + re.split("[/?#]", rest, maxsplit=1)[0]


def _reason(error: Exception) -> str:
    """Return the reason for which redis-py refuses options.

    The name of an unknown option may be a part of a password that was not quoted.
    """
    text = str(error).rpartition("__init__() ")[2]
    name = re.search(r"keyword argument '(.*)'", text, re.DOTALL)
    if name is not None and not (name[1].isidentifier() and name[1].islower()):
        return "unknown option"
    return text


def _of_sentinel_url(url: str) -> Address:
    head = _head(url)
    scheme, _, authority = head.partition("://")
    user, _, hosts = authority.rpartition("@")
    # Newer Pythons reject brackets in a list of hosts, so parse the URL with a placeholder.
    parts = urlsplit(f"redis://redis{url[len(head) :]}")
    service, _, db = parts.path.strip("/").partition("/")
    query = parse_qsl(parts.query)
    server_query = [(name, value) for name, value in query if not name.startswith(_SENTINEL)]
    sentinel_query = [(n.removeprefix(_SENTINEL), v) for n, v in query if n.startswith(_SENTINEL)]
    options = _parse_options(f"{_SCHEMES[scheme.lower()]}://{user}@redis/{db}", server_query)
    sentinel_options = _parse_options("redis://redis", sentinel_query)
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


def _parse_options(url: str, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return redis-py's options from a URL with a placeholder host."""
    quoted = urlencode([(name, quote(value)) for name, value in query])  # redis-py unquotes twice
    options: dict[str, Any] = dict(parse_url(f"{url}?{quoted}"))
    del options["host"]
    return options


def _host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(f"//{address}")
    if not parts.hostname:
        raise ValueError("a Sentinel without a host")
    return parts.hostname, parts.port or _SENTINEL_PORT


def _of_settings(settings: RedisSettings) -> Address:
    """Convert arq's settings, with the options that arq drops in front of Sentinels."""
    values = {name: getattr(settings, name) for name in _FIELDS - _NOT_FOR_REDIS}
    # As in arq, a Unix socket never uses TLS.
    tls = settings.ssl and (settings.sentinel or not settings.unix_socket_path)
    options = {
        _REDIS_NAMES.get(name, name): value
        for name, value in values.items()
        if value is not None and (tls or not name.startswith("ssl"))
    }
    options["max_connections"] = settings.max_connections
    tries, retry_delay = settings.conn_retries + 1, float(settings.conn_retry_delay)
    if settings.sentinel:
        if isinstance(settings.host, str):
            raise UsageError("RedisSettings(sentinel=True): set host to a list of (host, port)")
        options["connection_class"] = (
            SentinelManagedSSLConnection if tls else SentinelManagedConnection
        )
        hosts = ",".join(f"{host}:{port}" for host, port in settings.host)
        return Address(
            f"redis+sentinel://{hosts}/{settings.sentinel_master}",
            options,
            tuple(settings.host),
            settings.sentinel_master,
            tries=tries,
            retry_delay=retry_delay,
        )
    if settings.unix_socket_path:
        url = f"unix://{settings.unix_socket_path}"
        options |= {
            "path": settings.unix_socket_path,
            "connection_class": UnixDomainSocketConnection,
        }
    else:
        url = f"redis://{settings.host}:{settings.port}"
        options |= {"host": settings.host, "port": settings.port}
        if tls:
            options["connection_class"] = SSLConnection
    return Address(url, options, tries=tries, retry_delay=retry_delay)


def for_another_loop(pool: ConnectionPool) -> ConnectionPool:
    """Return a pool with the same options for use in another event loop.

    Clients of Sentinels belong to the loop that used them first.

    Args:
        pool: Pool of this event loop.

    Returns:
        A new pool with its own Sentinel clients, or the same pool if it uses no Sentinels.
    """
    if not isinstance(pool, SentinelConnectionPool):
        return pool
    manager = pool.sentinel_manager
    addresses = [client.connection_pool.connection_kwargs for client in manager.sentinels]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py
        [(address["host"], address["port"]) for address in addresses],
        manager.min_other_sentinels,
        manager.sentinel_kwargs,
        **manager.connection_kwargs,
    )
    options = {
        name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"
    }
    return SentinelPool(  # type: ignore[no-untyped-call]  # redis-py
        pool.service_name,
        sentinel,
        is_master=pool.is_master,
        connection_class=pool.connection_class,
        **options,
    )
