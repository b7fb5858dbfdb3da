"""What many tests of workers need."""

from collections.abc import AsyncIterator

import pytest

from jobs.engine import Pool, create_pool
from tests.integration.workers import OwnRedis, own_redis


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Pool]:
    """A producer on the test's own Redis."""
    async with await create_pool(redis_url) as pool:
        yield pool


@pytest.fixture
async def server() -> AsyncIterator[OwnRedis]:
    """A Redis that only this test has, to be killed, frozen and changed."""
    async with own_redis() as server:
        yield server
