"""Follow-up jobs commit with their change, and reach their queue whatever fails in between."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text

from jobs.engine.pool import JobRequest
from jobs.engine.serializer import deserialize, serialize
from jobs.store.model import LeadFilter
from jobs.store.postgres import PostgresStore
from jobs.store.protocol import Store
from jobs.testing.clock import FrozenClock
from jobs.testing.waiting import wait_until
from tests.contract.given import MINUTE, NOON, Queue, new_leads

AT_ONCE = timedelta()


async def enqueue(store: Store, *functions: str) -> list[UUID]:
    async with store.begin() as work:
        return [work.enqueue(function) for function in functions]


async def test_jobs_are_published_in_order_once_they_are_committed(
    store: Store, queue: Queue
) -> None:
    lead_id = UUID(int=7)
    async with store.begin() as work:
        first = work.enqueue("lead.qualify", lead_id, force=True)
        second = work.enqueue("call.dispatch", defer_until=NOON + MINUTE)
        assert queue.jobs == []
    assert queue.jobs == [
        JobRequest("lead.qualify", (lead_id,), {"force": True}, job_id=str(first)),
        JobRequest("call.dispatch", job_id=str(second), defer_until=NOON + MINUTE),
    ]
    assert await store.outbox_size() == 0
    assert await store.relay(AT_ONCE) == 0


async def test_a_transaction_without_jobs_publishes_nothing(store: Store, queue: Queue) -> None:
    async with store.begin():
        pass
    assert queue.calls == 0


async def test_arguments_that_have_no_form_in_json_take_everything_back(
    store: Store, queue: Queue
) -> None:
    async def enqueue_an_object() -> None:
        async with store.begin() as work:
            await work.leads.add(new_leads(1), NOON)
            work.enqueue("lead.qualify", object())

    with pytest.raises(Exception, match="object"):
        await enqueue_an_object()
    async with store.begin() as work:
        assert await work.leads.ids(LeadFilter()) == []
    assert queue.calls == 0


@pytest.mark.parametrize("failure", [ConnectionError("away"), asyncio.CancelledError()])
async def test_when_publishing_fails_the_commit_stands_and_the_relay_publishes(
    store: Store, queue: Queue, failure: BaseException
) -> None:
    queue.failure = failure
    try:
        async with store.begin() as work:
            await work.leads.add(new_leads(1), NOON)
            ids = [work.enqueue("a"), work.enqueue("b")]
    except asyncio.CancelledError:
        pass
    async with store.begin() as work:
        assert len(await work.leads.ids(LeadFilter())) == 1
    assert (queue.jobs, await store.outbox_size()) == ([], 2)
    queue.failure = None
    assert await store.relay(AT_ONCE) == 2
    assert [job.job_id for job in queue.jobs] == [str(id_) for id_ in ids]
    assert (await store.relay(AT_ONCE), await store.outbox_size()) == (0, 0)


async def test_the_relay_leaves_what_is_young_and_keeps_what_it_cannot_publish(
    store: Store, queue: Queue
) -> None:
    queue.failure = ConnectionError("away")
    await enqueue(store, "a")
    assert await store.relay(timedelta(hours=1)) == 0
    with pytest.raises(ConnectionError):
        await store.relay(AT_ONCE)
    queue.failure = None
    assert await store.outbox_size() == 1
    assert await store.relay(AT_ONCE) == 1
    assert queue.functions == ["a"]


async def test_a_backlog_is_relayed_in_order_a_part_at_a_time(store: Store, queue: Queue) -> None:
    queue.failure = ConnectionError("away")
    names = [f"job{n}" for n in range(25)]
    for name in names:
        await enqueue(store, name)
    queue.failure = None
    assert [await store.relay(AT_ONCE, limit=10) for _ in range(4)] == [10, 10, 5, 0]
    assert queue.functions == names
    queue.failure = ConnectionError("away")
    await enqueue(store, "late")
    queue.failure = None
    assert await store.relay(AT_ONCE, limit=10) == 1
    assert await store.outbox_size() == 0


class Gate(Queue):
    """A queue that takes its time until it is opened."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.entered, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self, jobs: Sequence[JobRequest]) -> None:
        self.entered.set()
        await self.opened.wait()
        await super().__call__(jobs)


async def open_store(database_url: str, clock: FrozenClock, queue: Queue) -> PostgresStore:
    return await PostgresStore.open(database_url, publish=queue, clock=clock, pool_size=4)


async def test_concurrent_transactions_share_a_round_trip(
    database_url: str, clock: FrozenClock
) -> None:
    gate = Gate()
    store = await open_store(database_url, clock, gate)
    first = asyncio.create_task(enqueue(store, "first"))
    await gate.entered.wait()
    others = [asyncio.create_task(enqueue(store, f"job{n}")) for n in range(10)]

    async def all_committed() -> bool:
        return await rows_in_outbox(store) == 11

    await wait_until(all_committed)
    gate.opened.set()
    await asyncio.gather(first, *others)
    assert gate.calls == 2
    assert gate.functions[0] == "first"
    assert sorted(gate.functions[1:]) == [f"job{n}" for n in range(10)]
    assert await store.outbox_size() == 0
    await store.close()


async def rows_in_outbox(store: PostgresStore) -> int:
    async with store._engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one())


async def test_a_process_that_died_after_its_commit_leaves_its_jobs_to_the_relay_of_another(
    database_url: str, clock: FrozenClock, postgres: PostgresStore, queue: Queue
) -> None:
    gate = Gate()
    dying = await open_store(database_url, clock, gate)
    job = asyncio.create_task(enqueue(dying, "a", "b"))
    await gate.entered.wait()
    job.cancel()
    assert dying._outbox._publishing is not None
    dying._outbox._publishing.cancel()
    await asyncio.wait([job, dying._outbox._publishing])
    await dying._engine.dispose()
    assert await postgres.relay(AT_ONCE) == 2
    assert queue.functions == ["a", "b"]


async def test_who_waits_may_be_cancelled_and_the_jobs_are_published_still(
    database_url: str, clock: FrozenClock
) -> None:
    gate = Gate()
    store = await open_store(database_url, clock, gate)
    job = asyncio.create_task(enqueue(store, "a"))
    await gate.entered.wait()
    job.cancel()
    await asyncio.wait([job])
    gate.opened.set()
    await store.close()
    assert gate.functions == ["a"]


async def test_closing_deletes_what_was_published(
    database_url: str, clock: FrozenClock, queue: Queue, postgres: PostgresStore
) -> None:
    store = await open_store(database_url, clock, queue)
    await enqueue(store, "a", "b")
    await store.close()
    assert await rows_in_outbox(postgres) == 0


async def test_two_relays_share_the_work(
    database_url: str, clock: FrozenClock, postgres: PostgresStore, queue: Queue
) -> None:
    queue.failure = ConnectionError("away")
    await enqueue(postgres, *(f"job{n}" for n in range(10)))
    queue.failure = None
    gate = Gate()
    slow = await open_store(database_url, clock, gate)
    relay = asyncio.create_task(slow.relay(AT_ONCE, limit=6))
    await gate.entered.wait()
    assert await postgres.relay(AT_ONCE, limit=6) == 4
    gate.opened.set()
    assert await relay == 6
    assert [*gate.functions, *queue.functions] == [f"job{n}" for n in range(10)]
    assert await postgres.outbox_size() == 0
    await slow.close()


async def test_relayed_arguments_are_those_that_publishing_would_have_sent(
    postgres: PostgresStore, queue: Queue
) -> None:
    values = [UUID(int=1), NOON, Decimal("1.50"), b"\x00\xff", {"a": [None, True, 1.5]}, "ü"]
    queue.failure = ConnectionError("away")
    async with postgres.begin() as work:
        work.enqueue("a", *values, at=NOON, defer_until=NOON + MINUTE)
    queue.failure = None
    await postgres.relay(AT_ONCE)
    (job,) = queue.jobs
    assert list(job.args) == deserialize(serialize(values))
    assert job.kwargs == {"at": NOON.isoformat()}
    assert job.defer_until == NOON + MINUTE
