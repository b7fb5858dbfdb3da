"""What many tests of workers need."""

from collections.abc import AsyncIterator

import pytest

from jobs.engine import Pool, create_pool


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Pool]:
    """A producer on the test's own Redis."""
    async with await create_pool(redis_url) as pool:
        yield pool
