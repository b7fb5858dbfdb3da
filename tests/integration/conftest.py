"""Fixtures for tests of workers."""

from collections.abc import AsyncIterator

import pytest

from jobs.engine import Pool, create_pool
from tests.integration.workers import OwnRedis, own_redis


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Pool]:
    """Yield a producer pool on the database of this test."""
    async with await create_pool(redis_url) as pool:
        yield pool


@pytest.fixture
async def server() -> AsyncIterator[OwnRedis]:
    """Yield a Redis server of this test only, to be killed, frozen and started again."""
    async with own_redis() as server:
        yield server
