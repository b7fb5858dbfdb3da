"""A transaction is a block: all of it, or none of it."""

import asyncio

import pytest
from sqlalchemy import text

from jobs.errors import ConflictError, DatabaseError
from jobs.rules.numbers import Tag
from jobs.rules.policy import CampaignPolicy
from jobs.store.memory import MemoryStore
from jobs.store.model import Campaign, LeadFilter, NewCall
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store, Work
from jobs.testing.clock import FrozenClock
from tests.contract.given import (
    MINUTE,
    NOON,
    Queue,
    add_calls,
    add_leads,
    enrolled,
    new_call,
    new_event,
    new_leads,
    number,
)


class MishapError(Exception):
    """What a test raises in a block."""


async def change_everything(work: Work, campaign: Campaign, call: NewCall) -> None:
    await work.leads.add(new_leads(3), NOON)
    await work.leads.add_tags([call.lead_id], [Tag("vip", "VIP")])
    await work.leads.suppress("default", number(0), reason="x", now=NOON, until=NOON + MINUTE)
    await work.campaigns.add("default", "autumn", CampaignPolicy(), NOON)
    await work.campaigns.enrol(campaign.id, LeadFilter(), NOON)
    await work.calls.add([call], NOON)
    await work.calls.record_events([new_event("CA1", 0, call.id)])
    await work.analytics.move_cursor("rollup", 5)
    await work.analytics.save_report("daily", {}, NOON)
    work.enqueue("call.dispatch", call.id)


async def test_an_exception_takes_everything_back(store: Store, queue: Queue) -> None:
    campaign, (enrolment,) = await enrolled(store, new_leads(1))
    call = new_call(enrolment)

    async def fail() -> None:
        async with store.begin() as work:
            await change_everything(work, campaign, call)
            raise MishapError

    with pytest.raises(MishapError):
        await fail()
    async with store.begin() as work:
        assert len(await work.leads.ids(LeadFilter())) == 1
        assert await work.leads.suppressed("default", [number(0)], NOON) == set()
        assert await work.leads.tags([enrolment.lead_id]) == {enrolment.lead_id: frozenset()}
        assert await work.campaigns.find("default", "autumn") is None
        assert await work.calls.get_many([call.id]) == []
        assert await work.calls.unapplied_events([call.id]) == []
        assert await work.analytics.cursor("rollup") == 0
        assert await work.analytics.report("daily") is None
    assert queue.jobs == []
    assert await store.outbox_size() == 0


async def test_cancelling_takes_everything_back(store: Store, queue: Queue) -> None:
    begun = asyncio.Event()

    async def job() -> None:
        async with store.begin() as work:
            await work.leads.add(new_leads(1), NOON)
            work.enqueue("lead.qualify")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(job())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    async with store.begin() as work:
        assert await work.leads.ids(LeadFilter()) == []
    assert queue.jobs == []


async def test_a_transaction_sees_its_own_changes(store: Store) -> None:
    async with store.begin() as work:
        added = await work.leads.add(new_leads(2), NOON)
        assert sorted(await work.leads.ids(LeadFilter())) == sorted(added.values())


async def test_two_that_add_the_same_attempt(store: Store) -> None:
    _, (enrolment,) = await enrolled(store, new_leads(1))
    results = await asyncio.gather(
        *(add_calls(store, [new_call(enrolment)]) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(result, ConflictError) for result in results) == 3
    async with store.begin() as work:
        assert len(await work.calls.open_calls_of(enrolment.lead_id)) == 1


async def test_memory_refuses_a_transaction_within_another(memory: MemoryStore) -> None:
    with pytest.raises(RuntimeError, match="within another"):
        async with memory.begin(), memory.begin():
            pass
    async with memory.begin() as work:
        assert await work.leads.ids(LeadFilter()) == []


async def test_a_lock_makes_the_other_wait(postgres: PostgresStore) -> None:
    ids = await add_leads(postgres, new_leads(2))
    locked, has_read, order = asyncio.Event(), asyncio.Event(), list[str]()

    async def second() -> None:
        await locked.wait()
        async with postgres.begin() as work:
            await work.leads.get_many(ids[:1])  # reading waits for nobody
            has_read.set()
            (lead,) = await work.leads.get_many(ids[:1], lock=True)
            order.append(f"second got version {lead.version}")

    other = asyncio.create_task(second())
    async with postgres.begin() as work:
        leads = await work.leads.get_many(ids, lock=True)
        locked.set()
        await has_read.wait()
        await work.leads.save(leads)
        order.append("first saves")
    await other
    assert order == ["first saves", "second got version 2"]


async def test_batches_in_opposite_orders_do_not_deadlock(postgres: PostgresStore) -> None:
    ids = await add_leads(postgres, new_leads(40))
    async with postgres.begin() as work:
        leads = await work.leads.get_many(ids)

    async def save(backwards: bool) -> object:
        try:
            async with postgres.begin() as work:
                await work.leads.save(leads[::-1] if backwards else leads)
        except ConflictError as error:
            return error
        return None

    results = await asyncio.gather(*(save(n % 2 == 0) for n in range(8)))
    assert results.count(None) == 1


async def test_who_claims_due_leads_skips_those_of_others(postgres: PostgresStore) -> None:
    campaign, enrolments = await enrolled(postgres, new_leads(6))
    async with postgres.begin() as one, postgres.begin() as two:
        first = await one.campaigns.due(campaign.id, NOON, 4)
        second = await two.campaigns.due(campaign.id, NOON, 4)
    assert [len(first), len(second)] == [4, 2]
    assert sorted(e.id for e in [*first, *second]) == sorted(e.id for e in enrolments)


async def test_a_server_that_is_not_there(clock: FrozenClock, queue: Queue) -> None:
    with pytest.raises(DatabaseError, match="cannot be reached"):
        await PostgresStore.open(
            "postgresql://nobody@/none?host=/nowhere", publish=queue, clock=clock
        )


async def test_a_lost_connection_is_a_database_error_and_is_replaced(
    postgres: PostgresStore,
) -> None:
    await add_leads(postgres, new_leads(1))

    async def lose_it() -> None:
        async with postgres.begin() as work:
            await work.leads.ids(LeadFilter())
            await kill_connections(postgres)
            await work.leads.ids(LeadFilter())

    with pytest.raises(DatabaseError):
        await lose_it()
    await kill_connections(postgres)
    async with postgres.begin() as work:
        assert len(await work.leads.ids(LeadFilter())) == 1


async def kill_connections(store: PostgresStore) -> None:
    """Ends every other connection to the test's database."""
    async with store._engine.begin() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


async def test_a_frozen_process_does_not_keep_its_locks_for_long(postgres: PostgresStore) -> None:
    async with postgres._engine.connect() as connection:
        shown = await connection.execute(text("SHOW idle_in_transaction_session_timeout"))
        assert shown.scalar_one() == "30s"
