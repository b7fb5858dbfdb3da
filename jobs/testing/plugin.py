"""Pytest plugin: fixtures for jobs.

`job_context` is a context without servers. `redis_url` and `database_url`, from
`jobs.testing.servers`, are real databases, one of each per test.
"""

from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.context import JobContext

pytest_plugins = ["jobs.testing.servers"]

if find_spec("pytest_asyncio"):
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def job_context() -> "AsyncIterator[JobContext]":
        """Context from `make_context`, closed after the test."""
        from jobs.testing import make_context

        context = make_context()
        yield context
        await context["voice"].close()
