"""Both stores, so that each test of this folder runs over both."""

from collections.abc import AsyncIterator

import pytest

from jobs.store.memory import MemoryStore
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store
from jobs.testing.clock import FrozenClock
from tests.contract.given import NOON, Queue


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOON)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
async def postgres(
    database_url: str, clock: FrozenClock, queue: Queue
) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(database_url, publish=queue, clock=clock, pool_size=4)
    yield store
    await store.close()


@pytest.fixture
def memory(clock: FrozenClock, queue: Queue) -> MemoryStore:
    return MemoryStore(clock=clock, publish=queue)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    fixture: Store = request.getfixturevalue(request.param)
    return fixture
