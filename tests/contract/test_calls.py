"""Calls and recordings."""

from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest

from jobs.errors import ConflictError, NotFoundError, StaleVersionError
from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.states import CallStatus
from jobs.store.model import Recording
from jobs.store.protocol import Store
from tests.contract.given import (
    MINUTE,
    NOON,
    add_calls,
    converted,
    enrolled,
    new_call,
    new_leads,
    placed,
    save_calls,
    unanswered,
)


async def test_a_new_call_is_scheduled(store: Store) -> None:
    _, (enrolment,) = await enrolled(store, new_leads(1))
    new = new_call(enrolment, 2, NOON + MINUTE)
    (call,) = await add_calls(store, [new])
    assert (call.id, call.tenant, call.campaign_id) == (new.id, "default", enrolment.campaign_id)
    assert (call.enrolment_id, call.lead_id, call.number) == (enrolment.id, enrolment.lead_id, 2)
    assert (call.status, call.scheduled_for) == (CallStatus.SCHEDULED, NOON + MINUTE)
    assert (call.requests, call.sequence, call.provider_id, call.version) == (0, -1, None, 1)
    assert (call.dialed_at, call.processed_at, call.created_at) == (None, None, NOON)
    async with store.begin() as work:
        assert await work.calls.get(call.id) == call
        with pytest.raises(NotFoundError):
            await work.calls.get(uuid4())


async def test_an_attempt_has_one_call(store: Store) -> None:
    _, (enrolment,) = await enrolled(store, new_leads(1))
    (call,) = await add_calls(store, [new_call(enrolment)])
    with pytest.raises(ConflictError):
        await add_calls(store, [new_call(enrolment, 2), new_call(enrolment)])
    with pytest.raises(ConflictError):
        await add_calls(store, [replace(new_call(enrolment, 3), id=call.id)])
    with pytest.raises(ConflictError):
        await add_calls(store, [new_call(replace(enrolment, id=uuid4()))])
    async with store.begin() as work:
        assert await work.calls.open_calls_of(enrolment.lead_id) == [call]


async def test_saving_writes_every_column_that_changes(store: Store) -> None:
    _, enrolments = await enrolled(store, new_leads(2))
    calls = await add_calls(store, [new_call(enrolment) for enrolment in enrolments])
    changed = [
        replace(
            call,
            status=CallStatus.COMPLETED,
            scheduled_for=NOON - MINUTE,
            dialed_at=NOON,
            requests=2,
            refused_until=NOON + MINUTE,
            provider_id=f"CA{n}",
            sequence=4,
            answered_at=NOON + MINUTE,
            ended_at=NOON + 2 * MINUTE,
            duration=60,
            answered_by=AnsweredBy.MACHINE_END_BEEP,
            outcome=CallOutcome.CALLBACK,
            sip_code=200,
            price=Decimal("0.0085"),
            disposition=Disposition.CALLBACK,
            callback_at=NOON + 9 * MINUTE,
            processed_at=NOON + 3 * MINUTE,
        )
        for n, call in enumerate(calls)
    ]
    await save_calls(store, *changed)
    await save_calls(store)
    async with store.begin() as work:
        ids = [call.id for call in calls]
        saved = await work.calls.get_many(ids, lock=True)
        assert saved == [replace(call, version=2) for call in changed]
        linked = await work.calls.by_provider_id(["CA0", "CA1", "CA2"])
        assert linked == {"CA0": ids[0], "CA1": ids[1]}
    with pytest.raises(StaleVersionError, match=str(ids[1])):
        await save_calls(store, replace(saved[0], duration=1), calls[1])
    async with store.begin() as work:
        assert await work.calls.get_many(ids) == saved


async def test_a_provider_id_is_linked_once(store: Store) -> None:
    _, enrolments = await enrolled(store, new_leads(2))
    a, b = await add_calls(store, [new_call(enrolment) for enrolment in enrolments])
    await save_calls(store, replace(a, provider_id="CA1"))
    with pytest.raises(ConflictError):
        await save_calls(store, replace(b, provider_id="CA1"))


async def test_dials_count_over_all_campaigns_of_the_tenant(store: Store) -> None:
    _, (one, two) = await enrolled(store, new_leads(2))
    _, again = await enrolled(store, [], name="autumn")
    (other,) = [enrolment for enrolment in again if enrolment.lead_id == one.lead_id]
    calls = [new_call(one), new_call(one, 2), new_call(other), new_call(two), new_call(two, 2)]
    a, b, c, d, _ = await add_calls(store, calls)
    order = {call.id: n for n, call in enumerate(calls)}
    a, b, c, d, _ = sorted([a, b, c, d, _], key=lambda call: order[call.id])
    await save_calls(
        store, placed(a, NOON - MINUTE), placed(b), placed(c, NOON + MINUTE), placed(d, NOON)
    )
    ids = [one.lead_id, two.lead_id]
    async with store.begin() as work:
        assert await work.calls.dials("default", ids, NOON) == dict(zip(ids, (2, 1), strict=True))
        assert await work.calls.dials("default", ids, NOON - MINUTE) == dict(
            zip(ids, (3, 1), strict=True)
        )
        assert await work.calls.dials("acme", ids[:1], NOON) == {ids[0]: 0}


async def test_calls_in_flight_and_calls_that_ended(store: Store) -> None:
    campaign, enrolments = await enrolled(store, new_leads(7))
    calls = await add_calls(store, [new_call(enrolment) for enrolment in enrolments])
    _, dialing, failed, old, busy, canceled, never_asked_for = calls
    await save_calls(
        store,
        replace(dialing, status=CallStatus.DIALING, dialed_at=NOON),
        replace(
            placed(failed),
            status=CallStatus.FAILED,
            ended_at=NOON,
            disposition=Disposition.CARRIER_FAILURE,
        ),
        unanswered(old, NOON - 2 * MINUTE),
        unanswered(busy),
        replace(canceled, status=CallStatus.CANCELED, ended_at=NOON),
        replace(
            never_asked_for,
            status=CallStatus.FAILED,
            dialed_at=NOON,
            ended_at=NOON,
            disposition=Disposition.CARRIER_FAILURE,
        ),
    )
    async with store.begin() as work:
        assert await work.calls.in_flight(campaign.id) == 2
        assert await work.calls.in_flight(uuid4()) == 0
        assert await work.calls.ended_since(campaign.id, NOON) == (1, 2)
        assert await work.calls.ended_since(campaign.id, NOON - MINUTE) == (1, 3)
        assert await work.calls.ended_since(uuid4(), NOON) == (0, 0)


async def test_only_calls_that_are_not_dialled_yet_are_open(store: Store) -> None:
    _, (enrolment,) = await enrolled(store, new_leads(1))
    calls = await add_calls(store, [new_call(enrolment, n) for n in (1, 2, 3)])
    await save_calls(store, replace(calls[0], status=CallStatus.DIALING, dialed_at=NOON))
    async with store.begin() as work:
        assert await work.calls.open_calls_of(enrolment.lead_id) == calls[1:]
        assert await work.calls.open_calls_of(uuid4()) == []


async def test_overdue_is_what_should_have_moved_on(store: Store) -> None:
    _, enrolments = await enrolled(store, new_leads(6))
    due = [NOON - MINUTE, NOON, NOON, NOON, NOON, NOON]
    calls = await add_calls(
        store, [new_call(e, at=at) for e, at in zip(enrolments, due, strict=True)]
    )
    by_lead = {call.lead_id: call for call in calls}
    late, _, dialing, asked, ended, done = (by_lead[e.lead_id] for e in enrolments)
    await save_calls(
        store,
        replace(dialing, status=CallStatus.DIALING, dialed_at=NOON - MINUTE),
        placed(asked, NOON),
        unanswered(ended, NOON),
        replace(unanswered(done, NOON), processed_at=NOON),
    )
    expected = sorted([late.id, dialing.id, ended.id])
    async with store.begin() as work:
        found = await work.calls.overdue(scheduled_before=NOON, dialed_before=NOON, limit=9)
        assert [call.id for call in found] == expected
        found = await work.calls.overdue(scheduled_before=NOON, dialed_before=NOON, limit=2)
        assert [call.id for call in found] == expected[:2]
        found = await work.calls.overdue(
            scheduled_before=NOON, dialed_before=NOON, limit=2, after=expected[1]
        )
        assert [call.id for call in found] == expected[2:]


async def test_a_recording_is_stored_once(store: Store) -> None:
    _, (enrolment,) = await enrolled(store, new_leads(1))
    (call,) = await add_calls(store, [new_call(enrolment)])
    recording = Recording(call.id, "RE1", "a/b.wav", "f" * 64, 5_000_000_000, NOON)
    async with store.begin() as work:
        assert await work.calls.add_recording(recording)
        assert not await work.calls.add_recording(replace(recording, path="elsewhere"))
        assert await work.calls.add_recording(replace(recording, provider_id="RE0"))
        first, second = await work.calls.recordings(call.id)
        assert (first.provider_id, second) == ("RE0", recording)
        assert await work.calls.recordings(uuid4()) == []
    with pytest.raises(ConflictError):
        async with store.begin() as work:
            await work.calls.add_recording(replace(recording, provider_id="RE2", call_id=uuid4()))


async def test_what_was_placed_can_be_read_by_its_provider_id(store: Store) -> None:
    _, (enrolment,) = await enrolled(store, new_leads(1))
    (call,) = await add_calls(store, [new_call(enrolment)])
    done = converted(call)
    await save_calls(store, done)
    async with store.begin() as work:
        assert await work.calls.by_provider_id([str(done.provider_id)]) == {
            done.provider_id: call.id
        }
        assert await work.calls.by_provider_id([]) == {}
