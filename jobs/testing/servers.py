"""Pytest fixtures: Redis and PostgreSQL databases, one of each per test.

The fixtures use the servers of REDIS_URL and DATABASE_URL. If these are not set, all pytest-xdist
workers of a run share embedded servers, which stop at the end of the run.
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
_WORKER_INPUT: Final = "ringline_home"
_TEMPLATE_TIMEOUT: Final = 120.0


def pytest_configure(config: pytest.Config) -> None:
    """Create the run's folder in the controller; pytest-xdist workers receive its path."""
    controller_home = _controller_home(config)
    config.stash[_HOME] = Path(controller_home or tempfile.mkdtemp(prefix="ringline-tests-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the path of the run's folder to a pytest-xdist worker."""
    node.workerinput[_WORKER_INPUT] = str(node.config.stash[_HOME])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the embedded servers of the run and remove their data."""
    if _controller_home(config):
        return
    home, database_url = config.stash[_HOME], os.environ.get("DATABASE_URL")
    if database_url and (home / "template").exists():
        _run(databases.drop(database_url, _template_name(home)))
    embedded.down(home)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def embedded_servers(pytestconfig: pytest.Config) -> embedded.Servers:
    """Servers of this run: from REDIS_URL and DATABASE_URL, else embedded ones."""
    redis_url, database_url = os.environ.get("REDIS_URL"), os.environ.get("DATABASE_URL")
    if redis_url and database_url:
        return embedded.Servers(redis_url, database_url)
    servers = embedded.use(pytestconfig.stash[_HOME])
    if not database_url:
        _run(databases.make_volatile(servers.database_url))
    return embedded.Servers(redis_url or servers.redis_url, database_url or servers.database_url)


@pytest.fixture
def redis_url(embedded_servers: embedded.Servers) -> Iterator[str]:
    """URL of an empty Redis database for this test only, flushed after the test."""
    with leased_database(embedded_servers.redis_url) as url:
        yield url


@pytest.fixture(scope="session")
def database_template_migrate() -> Callable[[str], None]:
    """Function that migrates an empty database, given its URL.

    Override the fixture to test with another schema.
    """
    from jobs.store.postgres.migrate import upgrade

    return upgrade


@pytest.fixture(scope="session")
def database_template(
    embedded_servers: embedded.Servers,
    database_template_migrate: Callable[[str], None],
    pytestconfig: pytest.Config,
) -> str:
    """Name of the migrated template database, created once per run and copied for each test."""
    home, admin = pytestconfig.stash[_HOME], embedded_servers.database_url
    name = _template_name(home)
    marker = home / "template"
    lock = flock.acquire(home / "template.lock", timeout=_TEMPLATE_TIMEOUT)
    if lock is None:
        raise TimeoutError(f"the template database was not migrated in {_TEMPLATE_TIMEOUT:g} s")
    try:
        if not marker.exists():
            _run(databases.drop(admin, name))  # incomplete, from a worker that failed
            _run(databases.create(admin, name))
            _run_in_thread(database_template_migrate, databases.url_for(admin, name))
            marker.touch()
    finally:
        os.close(lock)
    return name


@pytest.fixture
def database_url(embedded_servers: embedded.Servers, database_template: str) -> Iterator[str]:
    """URL of a migrated PostgreSQL database for this test only, dropped after the test."""
    name, admin = f"test_{uuid.uuid4().hex}", embedded_servers.database_url
    _run(databases.create(admin, name, template=database_template))
    yield databases.url_for(admin, name)
    _run(databases.drop(admin, name))


def _controller_home(config: pytest.Config) -> str | None:
    """Return the run's folder if this process is a pytest-xdist worker, else None."""
    worker_input: dict[str, str] = getattr(config, "workerinput", {})
    return worker_input.get(_WORKER_INPUT)


def _template_name(home: Path) -> str:
    return f"template_{home.name.rpartition('-')[2]}"


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    _run_in_thread(asyncio.run, coroutine)


def _run_in_thread(function: Callable[[T], object], argument: T) -> None:
    """Call a function in another thread, where it can run another event loop."""
    with ThreadPoolExecutor(1) as executor:
        executor.submit(function, argument).result()
