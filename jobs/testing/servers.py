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
from typing import Any, Final, TypeVar

import pytest

from jobs import embedded
from jobs.embedded import databases, flock
from jobs.embedded.redis_databases import leased_database

T = TypeVar("T")

_HOME: Final = pytest.StashKey[Path]()
_INPUT: Final = "ringline_home"
_TEMPLATE_TIMEOUT: Final = 120.0


def pytest_configure(config: pytest.Config) -> None:
    """One folder a run: made by the process that leads it, told to the others."""
    told = _told(config)
    config.stash[_HOME] = Path(told or tempfile.mkdtemp(prefix="ringline-tests-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of pytest-xdist about the folder."""
    node.workerinput[_INPUT] = str(node.config.stash[_HOME])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops the embedded servers of the run and removes their data."""
    if _told(config):
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
    """The URL of an empty Redis database that nobody else has meanwhile; emptied afterwards."""
    with leased_database(embedded_servers.redis_url) as url:
        yield url


@pytest.fixture(scope="session")
def database_template_migrate() -> Callable[[str], None]:
    """What brings an empty database, by its URL, to the state each test starts from.

    Override it to test with a schema of your own.
    """
    from jobs.store.postgres.migrate import upgrade

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
    lock = flock.acquire(home / "template.lock", timeout=_TEMPLATE_TIMEOUT)
    if lock is None:
        raise TimeoutError(f"the template database was not migrated in {_TEMPLATE_TIMEOUT:g} s")
    try:
        if not made.exists():
            _run(databases.drop(admin, name))  # half made, by a worker that failed
            _run(databases.create(admin, name))
            _apart(database_template_migrate, databases.url_for(admin, name))
            made.touch()
    finally:
        os.close(lock)
    return name


@pytest.fixture
def database_url(embedded_servers: embedded.Servers, database_template: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of the test's own, dropped afterwards."""
    name, admin = f"test_{uuid.uuid4().hex}", embedded_servers.database_url
    _run(databases.create(admin, name, template=database_template))
    yield databases.url_for(admin, name)
    _run(databases.drop(admin, name))


def _told(config: pytest.Config) -> str | None:
    """The folder of the process that leads the run, where this is one of its workers."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told.get(_INPUT)


def _template(home: Path) -> str:
    return f"template_{home.name.rpartition('-')[2]}"


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    _apart(asyncio.run, coroutine)


def _apart(function: Callable[[T], object], argument: T) -> None:
    """Calls it in a thread of its own, so that it may run a loop whatever loop the test has."""
    with ThreadPoolExecutor(1) as executor:
        executor.submit(function, argument).result()
