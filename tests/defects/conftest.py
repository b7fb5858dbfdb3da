"""What the tests of arq's defects have in common."""

from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis

from tests.defects.kinds import FAILS_ON_ARQ, Kind
from tests.integration.workers import connect


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    pool = await connect(redis_url)
    yield pool
    await pool.aclose(close_connection_pool=True)


@pytest.fixture(params=FAILS_ON_ARQ)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen
