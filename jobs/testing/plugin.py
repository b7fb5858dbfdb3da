"""The pytest plugin: `job_context`, a context without servers, and, from `jobs.testing.servers`,
`redis_url` and `database_url`, real databases of the test's own."""

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
        """A context as from `make_context`, closed afterwards."""
        from jobs.testing import make_context

        context = make_context()
        yield context
        await context["voice"].close()
