"""The provider's callbacks: stored once, whatever is repeated; found until they are applied."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from jobs.store.model import EventKind
from jobs.store.protocol import Store, Work
from tests.contract.given import (
    MINUTE,
    NOON,
    add_calls,
    enrolled,
    new_call,
    new_event,
    new_leads,
    save_calls,
)


async def test_an_event_is_stored_once(store: Store) -> None:
    a, b, c = (new_event("CA1", n, uuid4()) for n in (0, 1, 2))
    async with store.begin() as work:
        assert await work.calls.record_events([b, a, b, a]) == [a, b]
    async with store.begin() as work:
        repeated = replace(a, payload={"status": "busy"})
        assert await work.calls.record_events([repeated, c]) == [c]
        assert await work.calls.record_events([]) == []


async def test_kinds_have_sequences_of_their_own(store: Store) -> None:
    events = [new_event("CA1", 0, kind=kind) for kind in EventKind]
    async with store.begin() as work:
        stored = await work.calls.record_events([*events, new_event("CA2", 0)])
    assert {(event.provider_id, event.kind) for event in stored} == {
        *(("CA1", kind) for kind in EventKind),
        ("CA2", EventKind.STATUS),
    }


async def test_events_wait_in_order_of_sequence_until_they_are_applied(store: Store) -> None:
    call_id, other = uuid4(), uuid4()
    async with store.begin() as work:
        await work.calls.record_events([new_event("CA1", 2, call_id), new_event("CA2", 1, other)])
        await work.calls.record_events([new_event("CA1", 0, call_id)])
    async with store.begin() as work:
        events = await work.calls.unapplied_events([call_id, uuid4()])
        assert [event.sequence for event in events] == [0, 2]
        assert events[0].payload == {"status": "ringing"}
        assert (events[0].received_at, events[0].kind) == (NOON, EventKind.STATUS)
        assert (events[0].provider_id, events[0].call_id) == ("CA1", call_id)
        await work.calls.mark_applied([events[0].id], NOON)
        await work.calls.mark_applied([events[0].id, 999_999], NOON + MINUTE)
        await work.calls.mark_applied([], NOON)
    async with store.begin() as work:
        assert await work.calls.unapplied_events([call_id]) == events[1:]
        both = await work.calls.unapplied_events([call_id, other])
        assert [event.sequence for event in both] == [1, 2]
        assert await work.calls.unapplied_events([]) == []


async def test_an_event_without_a_call_is_found_once_its_provider_id_is_linked(
    store: Store,
) -> None:
    _, (enrolment,) = await enrolled(store, new_leads(1))
    (call,) = await add_calls(store, [new_call(enrolment)])
    async with store.begin() as work:
        await work.calls.record_events([new_event("CA1", 0), new_event("CA9", 0)])
        assert await work.calls.unapplied_events([call.id]) == []
        assert await work.calls.with_unapplied_events(NOON + MINUTE, 10) == []
    await save_calls(store, replace(call, provider_id="CA1"))
    async with store.begin() as work:
        (event,) = await work.calls.unapplied_events([call.id])
        assert (event.provider_id, event.call_id) == ("CA1", call.id)
        assert await ids_with_unapplied(work, NOON + MINUTE, 10) == [call.id]


async def test_events_can_be_given_their_call(store: Store) -> None:
    a, b = sorted([uuid4(), uuid4()])
    async with store.begin() as work:
        await work.calls.record_events(
            [new_event("CA1", 0), new_event("CA1", 1), new_event("CA2", 0, b), new_event("CA3", 0)]
        )
        assert await work.calls.link_events({"CA1": a, "CA2": a, "CA4": b}) == {a}
        assert await work.calls.link_events({"CA1": b}) == set()
        assert await work.calls.link_events({}) == set()
        assert [e.sequence for e in await work.calls.unapplied_events([a])] == [0, 1]


async def ids_with_unapplied(work: Work, before: datetime, limit: int, *after: UUID) -> list[UUID]:
    return [call.id for call in await work.calls.with_unapplied_events(before, limit, *after)]


async def test_calls_with_events_that_were_forgotten(store: Store) -> None:
    _, enrolments = await enrolled(store, new_leads(3))
    calls = await add_calls(store, [new_call(enrolment) for enrolment in enrolments])
    a, b, c = (call.id for call in calls)
    async with store.begin() as work:
        await work.calls.record_events(
            [
                new_event("CA1", 0, a),
                new_event("CA1", 1, a),
                new_event("CA2", 0, b),
                new_event("CA3", 0, c, at=NOON + MINUTE),
                new_event("CA4", 0, UUID(int=7)),  # anyone could name any call
            ]
        )
        assert await ids_with_unapplied(work, NOON, 10) == []
        assert await ids_with_unapplied(work, NOON + MINUTE, 10) == [a, b]
        assert await ids_with_unapplied(work, NOON + 2 * MINUTE, 2) == [a, b]
        assert await ids_with_unapplied(work, NOON + 2 * MINUTE, 2, b) == [c]
        events = await work.calls.unapplied_events([a])
        await work.calls.mark_applied([event.id for event in events], NOON)
        assert await ids_with_unapplied(work, NOON + 2 * MINUTE, 10) == [b, c]


async def test_recordings_that_were_not_fetched(store: Store) -> None:
    _, enrolments = await enrolled(store, new_leads(2))
    calls = await add_calls(store, [new_call(enrolment) for enrolment in enrolments])
    one, other = (replace(call, provider_id=f"CA{n}") for n, call in enumerate(calls))
    await save_calls(store, one, other)
    told = [
        replace(
            new_event(provider, sequence, call_id, kind=EventKind.RECORDING),
            payload={"status": status, "recording_id": f"RE{sequence}"},
            received_at=NOON + sequence * MINUTE,
        )
        for provider, sequence, call_id, status in (
            ("CA0", 0, one.id, "in-progress"),
            ("CA0", 1, one.id, "completed"),
            ("CA0", 2, None, "completed"),
            ("CA1", 3, other.id, "completed"),
            ("CA9", 4, None, "completed"),
        )
    ]

    async def unfetched(work: Work, until: datetime = NOON + 9 * MINUTE) -> list[object]:
        found = await work.calls.unfetched_recordings(
            received_after=NOON, received_before=until, limit=10
        )
        return [(event.call_id, event.payload["recording_id"]) for event in found]

    async with store.begin() as work:
        await work.calls.record_events([*told, new_event("CA0", 0, one.id)])
        assert await unfetched(work) == []  # applying them enqueues the fetching
        events = await work.calls.unapplied_events([one.id, other.id])
        await work.calls.mark_applied([event.id for event in events], NOON)
        assert await unfetched(work) == [(one.id, "RE1"), (one.id, "RE2"), (other.id, "RE3")]
        assert await unfetched(work, NOON + 2 * MINUTE) == [(one.id, "RE1")]
        await work.calls.mark_fetched(one.id, "RE1", NOON)
        await work.calls.mark_fetched(one.id, "RE3", NOON)
        await work.calls.mark_fetched(UUID(int=7), "RE2", NOON)
        assert await unfetched(work) == [(one.id, "RE2"), (other.id, "RE3")]
