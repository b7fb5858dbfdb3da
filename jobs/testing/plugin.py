"""Pytest plugin: fixtures for jobs.

`job_context` is a context without servers. `redis_url` and `database_url`, from
`jobs.testing.servers`, are real databases, one of each per test. `ringline_settings`, `pool` and
`worker` use these databases.
"""

import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobs.context import JobContext
    from jobs.engine import Pool
    from jobs.settings import Settings
    from jobs.testing.workers import WorkerRunner

pytest_plugins = ["jobs.testing.servers"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let each test read the settings anew, with the variables that it sets."""
    loading = sys.modules.get("jobs.settings.loading")
    if loading is not None:  # else nothing has read them, and pytest starts sooner
        loading.get_settings.cache_clear()


@pytest.fixture
def ringline_settings(
    request: pytest.FixtureRequest, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> "Settings":
    """Settings of this process, with the Redis of this test as REDIS_URL for all queues.

    If the test uses `database_url` too, that is DATABASE_URL.
    """
    from jobs.settings import get_settings

    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("TASK_QUEUE_URLS", "{}")  # a `.env` may name other servers
    if "database_url" in request.fixturenames:
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("database_url"))
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def worker(
    request: pytest.FixtureRequest,
    ringline_settings: "Settings",
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> "WorkerRunner":
    """Runner of workers for the databases of this test."""
    from jobs.settings import get_settings
    from jobs.testing.workers import WorkerRunner

    def open_database() -> None:
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("database_url"))
        get_settings.cache_clear()

    return WorkerRunner(redis_url, open_database)


if find_spec("pytest_asyncio"):
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def job_context() -> "AsyncIterator[JobContext]":
        """Context from `make_context`, closed after the test."""
        from jobs.testing import make_context

        context = make_context()
        yield context
        await context["voice"].close()

    @pytest_asyncio.fixture
    async def pool(ringline_settings: "Settings", redis_url: str) -> "AsyncIterator[Pool]":
        """Pool for the Redis of this test."""
        from jobs.engine import create_pool

        async with await create_pool(redis_url) as pool:
            yield pool
