"""Rollups, totals and breakdowns."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.states import CallStatus, EnrolmentStatus, LeadStatus
from jobs.store.memory import MemoryStore
from jobs.store.model import (
    Attempt,
    Breakdown,
    Bucket,
    BucketKey,
    Call,
    Campaign,
    CampaignTotals,
    History,
    NewCall,
    NewLead,
)
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store
from tests.contract.given import (
    EASTERN,
    MINUTE,
    NOON,
    add_calls,
    converted,
    enrolled,
    new_call,
    new_leads,
    number,
    placed,
    save_calls,
    unanswered,
)

QUARTER = timedelta(minutes=15)


async def roll_up(store: Store) -> set[BucketKey]:
    """What the rollup job does."""
    async with store.begin() as work:
        after = await work.analytics.cursor("rollup")
        keys, position = await work.analytics.touched_buckets(after, 0)
        await work.analytics.put(await work.analytics.compute(keys))
        await work.analytics.move_cursor("rollup", position)
    return keys


async def stored(store: Store, campaign_id: UUID | None = None) -> list[Bucket]:
    async with store.begin() as work:
        return await work.analytics.buckets(campaign_id, None, None)


async def delete_call(store: Store, call: Call) -> None:
    if isinstance(store, MemoryStore):
        del store._state.calls[call.id]
        return
    assert isinstance(store, PostgresStore)
    async with store._engine.begin() as connection:
        await connection.execute(text("DELETE FROM calls WHERE id = :id"), {"id": call.id})


async def called(store: Store, leads: Sequence[NewLead]) -> tuple[Campaign, list[Call]]:
    """A campaign with a scheduled call to each lead, in the order of the leads."""
    campaign, enrolments = await enrolled(store, leads)
    async with store.begin() as work:
        rows = await work.leads.get_many([enrolment.lead_id for enrolment in enrolments])
    zones = {lead.id: lead.timezone or "" for lead in rows}
    calls = await add_calls(
        store, [new_call(enrolment, zone=zones[enrolment.lead_id]) for enrolment in enrolments]
    )
    by_lead = {call.lead_id: call for call in calls}
    return campaign, [by_lead[enrolment.lead_id] for enrolment in enrolments]


async def test_a_call_counts_in_the_quarter_and_zone_in_which_it_was_dialled(store: Store) -> None:
    zones = [EASTERN, None, EASTERN, EASTERN]
    leads = [replace(one, timezone=zone) for one, zone in zip(new_leads(4), zones, strict=True)]
    campaign, (a, b, c, refused) = await called(store, leads)
    await save_calls(
        store,
        replace(converted(a, NOON + 14 * MINUTE), price=Decimal("0.02")),
        replace(converted(b, NOON), outcome=None, answered_by=AnsweredBy.MACHINE_START),
        replace(unanswered(c, NOON + QUARTER), disposition=Disposition.CARRIER_FAILURE),
        replace(refused, status=CallStatus.DIALING, dialed_at=NOON),
    )
    await roll_up(store)
    assert await stored(store, campaign.id) == [
        Bucket(BucketKey(campaign.id, NOON, ""), 1, 1, 0, 0, 30, 0, Decimal(0)),
        Bucket(BucketKey(campaign.id, NOON, EASTERN), 1, 1, 1, 1, 30, 0, Decimal("0.02")),
        Bucket(BucketKey(campaign.id, NOON + QUARTER, EASTERN), 1, 0, 0, 0, 0, 1, Decimal(0)),
    ]
    async with store.begin() as work:
        later = await work.analytics.buckets(None, NOON + QUARTER, None)
        earlier = await work.analytics.buckets(campaign.id, None, NOON + QUARTER)
        nothing = await work.analytics.buckets(uuid4(), None, None)
    assert [len(later), len(earlier), len(nothing)] == [1, 2, 0]


async def test_a_lead_that_moves_does_not_move_its_past_calls(store: Store) -> None:
    campaign, (call,) = await called(store, new_leads(1))
    await save_calls(store, placed(call))
    async with store.begin() as work:
        lead = await work.leads.get(call.lead_id)
        await work.leads.save([replace(lead, timezone="Asia/Tokyo")])
    assert await roll_up(store) == {BucketKey(campaign.id, NOON, EASTERN)}


async def test_a_change_of_a_call_touches_its_bucket_again(store: Store) -> None:
    campaign, (a, b) = await called(store, new_leads(2))
    key = BucketKey(campaign.id, NOON, EASTERN)
    assert key not in await roll_up(store)
    await save_calls(store, placed(a))
    assert key in await roll_up(store)
    async with store.begin() as work:
        (a,) = await work.calls.get_many([a.id])
        await work.calls.save([converted(a), converted(b)])
    assert key in await roll_up(store)
    (bucket,) = await stored(store)
    assert (bucket.attempts, bucket.conversions, bucket.seconds) == (2, 2, 60)


async def test_a_transaction_that_hangs_is_not_missed(postgres: PostgresStore) -> None:
    campaign, (hangs, quick) = await called(postgres, new_leads(2))
    async with postgres.begin() as work:
        await work.calls.save([placed(hangs)])
        await save_calls(postgres, placed(quick, NOON + QUARTER))
        seen = await roll_up(postgres)
    assert BucketKey(campaign.id, NOON, EASTERN) not in seen
    assert BucketKey(campaign.id, NOON + QUARTER, EASTERN) in seen
    assert BucketKey(campaign.id, NOON, EASTERN) in await roll_up(postgres)


async def test_a_cursor_of_another_server_is_void(postgres: PostgresStore) -> None:
    campaign, (call,) = await called(postgres, new_leads(1))
    await save_calls(postgres, placed(call))
    async with postgres.begin() as work:
        keys, position = await work.analytics.touched_buckets(10**15, 0)
    assert keys == {BucketKey(campaign.id, NOON, EASTERN)}
    assert position < 10**15


async def test_the_overlap_looks_back(store: Store) -> None:
    campaign, (call,) = await called(store, new_leads(1))
    await save_calls(store, placed(call))
    async with store.begin() as work:
        _, position = await work.analytics.touched_buckets(0, 0)
        keys, _ = await work.analytics.touched_buckets(position, 1_000_000)
    assert keys == {BucketKey(campaign.id, NOON, EASTERN)}


@pytest.mark.parametrize("seed", range(3))
async def test_late_repeated_and_shuffled_changes_give_the_same_buckets(
    store: Store, seed: int
) -> None:
    order = random.Random(seed)
    campaign, calls = await called(store, new_leads(6))
    changes = [
        (call.id, change)
        for n, call in enumerate(calls)
        for change in (placed, unanswered if n % 2 else converted)
    ]
    order.shuffle(changes)
    for call_id, change in changes:
        async with store.begin() as work:
            call = await work.calls.get(call_id)
            minutes = 5 * calls.index(next(c for c in calls if c.id == call_id))
            if call.ended_at is None:
                await work.calls.save([change(call, NOON + minutes * MINUTE)])
        if order.random() < 0.5:
            await roll_up(store)
            await roll_up(store)
    await roll_up(store)
    async with store.begin() as work:
        totals = await work.analytics.totals(campaign.id)
    buckets = await stored(store)
    assert [bucket.key.starts_at for bucket in buckets] == [NOON, NOON + QUARTER]
    assert sum(bucket.attempts for bucket in buckets) == totals.attempts == 6
    assert sum(bucket.conversions for bucket in buckets) == totals.conversions
    assert sum(bucket.seconds for bucket in buckets) == totals.seconds


async def test_a_bucket_without_calls_is_computed_as_zeros(store: Store) -> None:
    _, (call,) = await called(store, new_leads(1))
    await save_calls(store, converted(call))
    (key,) = await roll_up(store)
    await delete_call(store, call)
    async with store.begin() as work:
        assert await work.analytics.compute([key]) == [Bucket(key, 0, 0, 0, 0, 0, 0, Decimal(0))]
        assert await work.analytics.compute([]) == []
        await work.analytics.put([])


async def test_cursors(store: Store) -> None:
    async with store.begin() as work:
        assert await work.analytics.cursor("rollup") == 0
        await work.analytics.move_cursor("rollup", 7)
        await work.analytics.move_cursor("rollup", 10**12)
    async with store.begin() as work:
        assert await work.analytics.cursor("rollup") == 10**12
        assert await work.analytics.cursor("other") == 0


async def test_totals_are_read_from_enrolments_and_calls(store: Store) -> None:
    campaign, (a, b, c, d) = await called(store, new_leads(4))
    (again,) = await add_calls(
        store,
        [replace(new_call_of(a), number=2)],
    )
    await save_calls(
        store,
        unanswered(a),
        replace(converted(again), price=Decimal("0.5")),
        replace(converted(b), outcome=CallOutcome.OTHER, answered_by=AnsweredBy.FAX),
        placed(c),
        replace(d, status=CallStatus.DIALING, dialed_at=NOON),
    )
    async with store.begin() as work:
        totals = await work.analytics.totals(campaign.id)
    assert totals == CampaignTotals(
        leads=4,
        leads_tried=3,
        leads_reached=1,
        attempts=4,
        ended=3,
        answered=2,
        answered_by_human=1,
        conversions=1,
        seconds=60,
        price=Decimal("0.5"),
        enrolments={EnrolmentStatus.QUEUED: 4},
        calls={
            CallStatus.NO_ANSWER: 1,
            CallStatus.COMPLETED: 2,
            CallStatus.QUEUED: 1,
            CallStatus.DIALING: 1,
        },
        dispositions={Disposition.NO_ANSWER: 1, Disposition.ANSWERED: 2},
    )


def new_call_of(call: Call) -> NewCall:
    return NewCall(uuid4(), call.tenant, call.campaign_id, call.enrolment_id, call.lead_id, 2, NOON)


async def test_a_campaign_without_leads_has_zeros(store: Store) -> None:
    campaign, _ = await enrolled(store, [])
    async with store.begin() as work:
        totals = await work.analytics.totals(campaign.id)
        assert (totals.leads, totals.attempts, totals.seconds) == (0, 0, 0)
        assert totals.price == Decimal(0)
        assert (totals.enrolments, totals.calls, totals.dispositions) == ({}, {}, {})
        assert await work.analytics.columns(campaign.id) == []
        assert await work.analytics.breakdown(campaign.id, "job") == []
        assert await work.analytics.histories(campaign.id) == []


async def test_a_breakdown_has_every_value_of_a_column(store: Store) -> None:
    values: list[dict[str, str | int | float | bool | None]] = [
        {"job": "clerk", "age": 41, "owner": True},
        {"job": "clerk", "age": 7, "owner": False, "rate": 1.5},
        {"job": None, "rate": 1e-7},
        {"job": ""},
        {},
    ]
    leads = [NewLead(number(n), attributes=row) for n, row in enumerate(values)]
    campaign, (a, b, c, _, _) = await called(store, leads)
    await save_calls(store, converted(a, seconds=10), unanswered(b), converted(c, seconds=5))
    async with store.begin() as work:
        assert await work.analytics.columns(campaign.id) == ["age", "job", "owner", "rate"]
        assert await work.analytics.breakdown(campaign.id, "job") == [
            Breakdown("", 3, 1, 1, 5),
            Breakdown("clerk", 2, 2, 1, 10),
        ]
        values_of = {
            column: [row.value for row in await work.analytics.breakdown(campaign.id, column)]
            for column in ("age", "owner", "rate", "none")
        }
    assert values_of == {
        "age": ["", "41", "7"],
        "owner": ["", "false", "true"],
        "rate": ["", "0.0000001", "1.5"],
        "none": [""],
    }


async def test_a_breakdown_by_a_lead_s_own_columns(store: Store) -> None:
    leads = [
        NewLead(number(0), state="NY", source="a", attributes={"status": "hidden"}),
        NewLead(number(1), timezone=EASTERN),
    ]
    campaign, (call, _) = await called(store, leads)
    await save_calls(store, converted(call, seconds=10))
    rows = {}
    async with store.begin() as work:
        for column in ("status", "state", "timezone", "temperature", "source"):
            rows[column] = await work.analytics.breakdown(campaign.id, column)
    assert rows["status"] == [Breakdown("new", 2, 1, 1, 10)]
    assert rows["state"] == [Breakdown("", 1, 0, 0, 0), Breakdown("NY", 1, 1, 1, 10)]
    assert rows["timezone"] == [Breakdown("", 1, 1, 1, 10), Breakdown(EASTERN, 1, 0, 0, 0)]
    assert rows["temperature"] == [Breakdown("", 2, 1, 1, 10)]
    assert rows["source"] == [Breakdown("", 1, 0, 0, 0), Breakdown("a", 1, 1, 1, 10)]


async def test_without_one_call_totals_and_breakdowns_are_others(store: Store) -> None:
    campaign, (a, b) = await called(store, new_leads(2, attributes={"job": "clerk"}))
    await save_calls(store, converted(a), converted(b))
    await delete_call(store, a)
    async with store.begin() as work:
        totals = await work.analytics.totals(campaign.id)
        (clerks,) = await work.analytics.breakdown(campaign.id, "job")
    assert (totals.leads, totals.attempts, totals.conversions, totals.seconds) == (2, 1, 1, 30)
    assert clerks == Breakdown("clerk", 2, 1, 1, 30)


async def test_histories_count_leads_that_were_called_in_the_same_way(store: Store) -> None:
    campaign, calls = await called(store, new_leads(4))
    again = await add_calls(store, [new_call_of(call) for call in calls[:2]])
    await save_calls(store, *(unanswered(call) for call in calls[:3]))
    await save_calls(store, *(converted(call) for call in again))
    missed = Attempt(CallStatus.NO_ANSWER, Disposition.NO_ANSWER, None)
    won = Attempt(CallStatus.COMPLETED, Disposition.ANSWERED, CallOutcome.CONVERTED)
    waiting = Attempt(CallStatus.SCHEDULED, None, None)
    async with store.begin() as work:
        first, *others = await work.analytics.histories(campaign.id)
    queued, new = EnrolmentStatus.QUEUED, LeadStatus.NEW
    assert first == History(2, new, queued, 0, (missed, won))
    assert sorted(others, key=lambda history: history.attempts[0].status) == [
        History(1, new, queued, 0, (missed,)),
        History(1, new, queued, 0, (waiting,)),
    ]


async def test_a_report_is_replaced(store: Store) -> None:
    async with store.begin() as work:
        assert await work.analytics.report("daily") is None
        await work.analytics.save_report("daily", {"attempts": 1}, NOON)
        await work.analytics.save_report("daily", {"rate": None, "rows": [[1, "a"]]}, NOON)
    async with store.begin() as work:
        assert await work.analytics.report("daily") == {"rate": None, "rows": [[1, "a"]]}
