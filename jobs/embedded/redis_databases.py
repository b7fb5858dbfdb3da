"""Temporary Redis databases, leased by number.

arq's job keys do not contain the queue's name, so two users of one database see each other's jobs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

from jobs.errors import ServerError

_SCHEMES: Final = {"redis", "rediss", "unix"}
_LEASE: Final = 3600
"""Seconds after which the database of a killed process is free again."""
_DEFAULT_COUNT: Final = 16
"""Databases of a server that does not report its number of databases; Redis' default."""
_LEASED: Final = "databases:leased:"
_LAST: Final = "databases:last"


def url_for(url: str, number: int) -> str:
    """Return the URL of the database `number` on the same server."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        query["db"] = str(number)
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"
    query.pop("db", None)
    return urlunsplit(parts._replace(path=f"/{number}", query=urlencode(query)))


@contextmanager
def leased_database(url: str) -> Iterator[str]:
    """Lease an empty database for the block, and flush it afterwards.

    Numbers rotate, so that late writes of a dying process do not hit the next lease.

    Args:
        url: URL of any database of the server.

    Yields:
        The URL of the leased database.

    Raises:
        ServerError: No database is free, or the URL names Sentinels.
    """
    if url.partition("://")[0].lower() not in _SCHEMES:
        raise ServerError(
            "cannot lease a Redis database through Sentinel; use the URL of one Redis server"
        )
    with redis.Redis.from_url(url_for(url, 0)) as leases:
        number = _lease(leases, url)
        leased = url_for(url, number)
        try:
            yield leased
        finally:
            with redis.Redis.from_url(leased) as database:
                database.flushdb()
            leases.delete(_LEASED + str(number))


def _lease(leases: redis.Redis, url: str) -> int:
    count = _count(leases)
    for _ in range(count):
        last: Any = leases.incr(_LAST)
        number = 1 + int(last) % (count - 1)
        if leases.set(_LEASED + str(number), os.getpid(), nx=True, ex=_LEASE):
            with redis.Redis.from_url(url_for(url, number)) as database:
                if not database.dbsize():
                    return number
            leases.delete(_LEASED + str(number))
    raise ServerError(
        f"all {count - 1} Redis databases besides number 0 are leased or hold data; "
        "flush one, or set REDIS_URL to another server"
    )


def _count(server: redis.Redis) -> int:
    try:
        settings: Any = server.config_get("databases")
        return int(settings["databases"])
    except (redis.ResponseError, KeyError):  # managed servers forbid CONFIG
        return _DEFAULT_COUNT
