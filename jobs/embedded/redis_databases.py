"""Redis databases of one's own: arq's job keys do not contain the queue's name, so whoever must not
see the jobs of others takes a database number for a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

from jobs.errors import ServerError

_SCHEMES: Final = {"redis", "rediss", "unix"}
_LEASE: Final = 3600
"""Seconds after which the number of a killed process is free again."""
_USUAL_COUNT: Final = 16
"""Databases of a server that does not tell how many it has."""
_LEASED: Final = "databases:leased:"
_LAST: Final = "databases:last"


def url_for(url: str, number: int) -> str:
    """`url` with another database's number."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        query["db"] = str(number)
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"
    query.pop("db", None)
    return urlunsplit(parts._replace(path=f"/{number}", query=urlencode(query)))


@contextmanager
def leased_database(url: str) -> Iterator[str]:
    """The URL of an empty database that nobody else gets meanwhile; emptied afterwards.

    Numbers go round, so that what dying processes still write hits nobody. Raises ServerError
    when no database is free, or the URL is of Sentinels.
    """
    if url.partition("://")[0].lower() not in _SCHEMES:
        raise ServerError("a database of its own is wanted, on one Redis: not by way of Sentinels")
    with redis.Redis.from_url(url_for(url, 0)) as leases:
        number = _lease(leases, url)
        own = url_for(url, number)
        try:
            yield own
        finally:
            with redis.Redis.from_url(own) as database:
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
        f"all {count - 1} databases of Redis besides number 0 are in use, or hold data: "
        "empty one, or name another server in REDIS_URL"
    )


def _count(server: redis.Redis) -> int:
    try:
        settings: Any = server.config_get("databases")
        return int(settings["databases"])
    except (redis.ResponseError, KeyError):  # managed servers forbid CONFIG
        return _USUAL_COUNT
