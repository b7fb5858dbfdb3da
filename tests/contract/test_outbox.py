"""Follow-up jobs commit with their change, and reach their queue whatever fails in between."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from jobs.engine.client.request import JobRequest
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.store.model import LeadFilter
from jobs.store.postgres import outbox
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store
from jobs.store.relay import OLD_ENOUGH, RECENT
from jobs.testing.clock import FrozenClock
from jobs.testing.waiting import wait_until
from tests.contract.concurrency import SEQUENTIAL_SCANS, configured_engine
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


async def test_a_worker_that_is_quick_finds_the_change_that_its_job_is_about(
    store: Store, queue: Queue
) -> None:
    found: list[UUID] = []

    async def look() -> None:
        async with store.begin() as work:
            found.extend(await work.leads.ids(LeadFilter()))

    queue.first = look
    async with store.begin() as work:
        lead_ids = list((await work.leads.add(new_leads(1), NOON)).values())
        work.enqueue("lead.qualify", *lead_ids)
    assert found == lead_ids


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


async def test_a_relay_and_a_publisher_delete_the_same_rows_without_deadlock(
    database_url: str, clock: FrozenClock, queue: Queue
) -> None:
    """The relay reads the table in reverse order, and a third transaction holds the middle row.

    So, if one of the two waits for that row, the other one holds what the first needs next.
    """
    gate = Gate()
    publisher = PostgresStore(configured_engine(database_url), gate, clock)
    relay = PostgresStore(configured_engine(database_url, **SEQUENTIAL_SCANS), queue, clock)
    job = asyncio.create_task(enqueue(publisher, "a", "b", "c"))
    await gate.entered.wait()
    admin, holder = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    ids = [row["id"] for row in await admin.fetch("SELECT id FROM outbox ORDER BY id")]
    for id_ in reversed(ids):
        await admin.execute("UPDATE outbox SET function = function WHERE id = $1", id_)
    held = holder.transaction()
    await held.start()
    await holder.execute("SELECT FROM outbox WHERE id = $1 FOR UPDATE", ids[1])

    async def both_wait_or_are_done() -> bool:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        free = "SELECT count(*) FROM outbox WHERE id <> $1"
        both_wait = await admin.fetchval(f"{waiting} AND datname = current_database()") == 2
        return bool(both_wait or await admin.fetchval(free, ids[1]) == 0)

    with capture_logs() as logs:
        relaying = asyncio.create_task(relay.relay(AT_ONCE))
        await wait_until(lambda: queue.jobs)
        gate.opened.set()
        await job
        await wait_until(both_wait_or_are_done)
        await held.rollback()
        assert await relaying == 3
        await publisher.close()
    assert logs == []
    await relay.relay(AT_ONCE)
    assert await rows_in_outbox(relay) == 0
    await relay.close()
    await admin.close()
    await holder.close()


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


async def test_one_relay_works_at_a_time_and_another_takes_over(
    database_url: str, clock: FrozenClock, postgres: PostgresStore, queue: Queue
) -> None:
    queue.failure = ConnectionError("away")
    await enqueue(postgres, *(f"job{n}" for n in range(10)))
    queue.failure = None
    gate = Gate()
    slow = await open_store(database_url, clock, gate)
    relay = asyncio.create_task(slow.relay(AT_ONCE, limit=6))
    await gate.entered.wait()
    assert await postgres.relay(AT_ONCE) == 0
    gate.opened.set()
    assert await relay == 6
    assert await postgres.relay(AT_ONCE) == 0
    assert await slow.relay(AT_ONCE, limit=6) == 4
    assert gate.functions == [f"job{n}" for n in range(10)]
    queue.failure = ConnectionError("away")
    await enqueue(postgres, "late")
    queue.failure = None
    assert await postgres.relay(AT_ONCE) == 1
    await slow.close()


async def test_two_relays_of_one_process_publish_nothing_twice(
    postgres: PostgresStore, queue: Queue
) -> None:
    queue.failure = ConnectionError("away")
    await enqueue(postgres, *(f"job{n}" for n in range(10)))
    queue.failure = None
    counts = await asyncio.gather(*(postgres.relay(AT_ONCE) for _ in range(3)))
    assert sorted(counts) == [0, 0, 10]
    assert queue.functions == [f"job{n}" for n in range(10)]


async def test_the_lease_of_a_dead_relay_lapses(
    database_url: str,
    clock: FrozenClock,
    postgres: PostgresStore,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "LEASE", timedelta(seconds=0.5))
    queue.failure = ConnectionError("away")
    await enqueue(postgres, "a", "b")
    queue.failure = None
    gate = Gate()
    dying = await open_store(database_url, clock, gate)
    relay = asyncio.create_task(dying.relay(AT_ONCE))
    await gate.entered.wait()
    relay.cancel()
    await asyncio.wait([relay])
    assert await postgres.relay(AT_ONCE) == 0
    assert await wait_until(lambda: postgres.relay(AT_ONCE)) == 2
    await dying.close()


async def test_what_was_left_is_found_without_being_asked_for(
    store: Store, queue: Queue, clock: FrozenClock
) -> None:
    store.keep_relaying()
    queue.failure = ConnectionError("away")
    ids = await enqueue(store, "a", "b")
    queue.failure = None
    clock.advance(OLD_ENOUGH)
    await wait_until(lambda: len(queue.jobs) == 2)
    assert [job.job_id for job in queue.jobs] == [str(id_) for id_ in ids]
    await wait_until(partial(is_empty, store))
    await store.close()


async def is_empty(store: Store) -> bool:
    return await store.outbox_size() == 0


async def test_a_relay_goes_on_when_its_queue_or_its_connection_was_away(
    database_url: str, clock: FrozenClock, postgres: PostgresStore, queue: Queue
) -> None:
    """Another process writes; this one is only told of it, by a connection that breaks."""
    own = Queue()
    own.failure = ConnectionError("away")
    relaying = await open_store(database_url, clock, own)
    relaying.keep_relaying()
    await wait_until(partial(listeners, postgres))
    queue.failure = ConnectionError("away")
    await enqueue(postgres, "a")
    await wait_until(lambda: own.calls)
    clock.advance(2 * RECENT)  # by when it is looked for after a failure only
    own.failure = None
    await wait_until(lambda: own.functions == ["a"])
    (pid,) = await listeners(postgres)
    async with postgres._engine.connect() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    async def another() -> bool:
        return await listeners(postgres) not in ([], [pid])

    await enqueue(postgres, "b")
    await wait_until(another)
    await wait_until(lambda: own.functions == ["a", "b"])
    await relaying.close()


async def listeners(store: PostgresStore) -> list[int]:
    """The connections that have said LISTEN, and wait."""
    statement = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND query LIKE 'LISTEN%' AND state = 'idle'"
    )
    async with store._engine.connect() as connection:
        return list((await connection.execute(statement)).scalars())


async def test_a_busy_process_notifies_now_and_then_only(
    database_url: str, postgres: PostgresStore
) -> None:
    """Transactions that notify commit one after the other, so most must not."""
    told = 0

    def count(*_: object) -> None:
        nonlocal told
        told += 1

    connection = await asyncpg.connect(database_url)
    await connection.add_listener(outbox.CHANNEL, count)
    for _ in range(50):
        await enqueue(postgres, "a")
    await connection.execute("SELECT 1")
    assert 1 <= told <= 5
    await connection.close()


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
