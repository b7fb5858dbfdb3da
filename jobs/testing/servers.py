"""A pytest plugin: a Redis database and a PostgreSQL database of its own for each test.

The servers are those of REDIS_URL and DATABASE_URL; without them, one set of embedded servers for
the run, shared by all workers of pytest-xdist, that ends with the run.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
import redis

from jobs import embedded
from jobs.embedded import databases, flock

_HOME: Final = pytest.StashKey[Path]()
_INPUT: Final = "ringline_home"
_LEASE: Final = 3600
"""Seconds after which the database number of a killed test is free again."""
_TEMPLATE_TIMEOUT: Final = 120.0


def pytest_configure(config: pytest.Config) -> None:
    """One folder a run: made by the process that leads it, told to the others."""
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    if given is None:
        config.stash[_HOME] = Path(tempfile.mkdtemp(prefix="ringline-tests-"))
    else:
        config.stash[_HOME] = Path(given[_INPUT])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of pytest-xdist about the folder."""
    node.workerinput[_INPUT] = str(node.config.stash[_HOME])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops the embedded servers of the run and removes their data."""
    if hasattr(config, "workerinput"):
        return
    home, given = config.stash[_HOME], os.environ.get("DATABASE_URL")
    if given and (home / "template").exists():
        _run(databases.drop(given, _template(home)))
    embedded.down(home)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def embedded_servers(pytestconfig: pytest.Config) -> embedded.Servers:
    """The servers of this run: those of REDIS_URL and DATABASE_URL, else embedded ones."""
    redis_url, database_url = os.environ.get("REDIS_URL"), os.environ.get("DATABASE_URL")
    if redis_url and database_url:
        return embedded.Servers(redis_url, database_url)
    own = embedded.use(pytestconfig.stash[_HOME])
    if not database_url:
        _run(databases.make_volatile(own.database_url))
    return embedded.Servers(redis_url or own.redis_url, database_url or own.database_url)


@pytest.fixture
def redis_url(embedded_servers: embedded.Servers) -> Iterator[str]:
    """The URL of an empty Redis database that no other test has meanwhile; emptied afterwards.

    Of a server given by REDIS_URL only databases without keys are taken.
    """
    with redis.Redis.from_url(_numbered(embedded_servers.redis_url, 0)) as leases:
        number, lease = _lease(leases, embedded_servers.redis_url)
        url = _numbered(embedded_servers.redis_url, number)
        try:
            yield url
        finally:
            with redis.Redis.from_url(url) as database:
                database.flushdb()
            leases.delete(lease)


@pytest.fixture(scope="session")
def database_template_migrate() -> Callable[[str], None]:
    """What brings an empty database, by its URL, to the state each test starts from.

    Override it to test with a schema of your own.
    """
    from jobs.store.migrate import upgrade

    return upgrade


@pytest.fixture(scope="session")
def database_template(
    embedded_servers: embedded.Servers,
    database_template_migrate: Callable[[str], None],
    pytestconfig: pytest.Config,
) -> str:
    """The name of the database that each test gets a copy of; made once a run."""
    home, admin = pytestconfig.stash[_HOME], embedded_servers.database_url
    name = _template(home)
    made = home / "template"
    lock = flock.take(home / "template.lock", timeout=_TEMPLATE_TIMEOUT)
    if lock is None:
        raise TimeoutError(f"the template database was not migrated in {_TEMPLATE_TIMEOUT:g} s")
    try:
        if not made.exists():
            _run(databases.drop(admin, name))  # half made, by a worker that failed
            _run(databases.create(admin, name))
            database_template_migrate(databases.named(admin, name))
            made.touch()
    finally:
        os.close(lock)
    return name


@pytest.fixture
def database_url(embedded_servers: embedded.Servers, database_template: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of the test's own, dropped afterwards."""
    name, admin = f"test_{uuid.uuid4().hex}", embedded_servers.database_url
    _run(databases.create(admin, name, template=database_template))
    yield databases.named(admin, name)
    _run(databases.drop(admin, name))


def _template(home: Path) -> str:
    return f"template_{home.name.rpartition('-')[2]}"


def _lease(leases: redis.Redis, url: str) -> tuple[int, str]:
    """The number of a free database and the key that marks it as taken.

    Numbers go round, so that what a test's dying processes still write hits nobody.
    """
    given = "REDIS_URL" in os.environ
    settings: Any = leases.config_get("databases")
    count = int(settings["databases"])
    for _ in range(count):
        last: Any = leases.incr("test-databases:last")
        number = 1 + int(last) % (count - 1)
        key = f"test-databases:{number}"
        if leases.set(key, os.getpid(), nx=True, ex=_LEASE):
            with redis.Redis.from_url(_numbered(url, number)) as database:
                if not given:
                    database.flushdb()
                if not database.dbsize():
                    return number, key
            leases.delete(key)
    raise RuntimeError(f"all {count - 1} databases of Redis are in use, or hold data")


def _numbered(url: str, number: int) -> str:
    """`url` with another database's number."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return urlunsplit(parts._replace(path=f"/{number}"))
    query = {**dict(parse_qsl(parts.query)), "db": str(number)}
    return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs it on a loop and in a thread of its own, whatever loop the test has or makes."""
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, coroutine).result()
