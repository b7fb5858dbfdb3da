"""Callbacks of any form: what can be stored is applied, the rest holds up nobody."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.call.events import apply_events
from jobs.inbox import receive
from jobs.rules.states import CALL
from jobs.store.memory import MemoryStore
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store
from jobs.testing.clock import FrozenClock
from jobs.voice.protocol import ProviderEvent
from tests.contract.given import NOON, add_calls, enrolled, new_call, new_leads, placed, save_calls

Event = tuple[Any, Any, Any, Any]

names = st.sampled_from(
    ["status", "at", "duration", "answered_by", "outcome", "sip_code", "price", "callback_at"]
)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["completed", "busy", "human", "NaN", "1e400", "9" * 30, "\0", "\ud800"])
    | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
)
events: st.SearchStrategy[Event] = st.tuples(
    st.text(max_size=5),
    st.sampled_from(["status", "status", "machine-detection", "recording"]) | st.text(max_size=5),
    st.integers(0, 9) | st.integers(),
    st.dictionaries(names | st.text(max_size=3), values, max_size=4),
)


async def take(store: Store, clock: FrozenClock, call_id: UUID, given: list[Event]) -> None:
    """As the provider's process and `call.apply_event` do."""
    sent = [
        ProviderEvent(call_id.hex + provider_id, kind, sequence, call_id, payload)
        for provider_id, kind, sequence, payload in given
    ]
    await receive(store, clock, sent)
    async with store.begin() as work:
        (call,) = await work.calls.get_many([call_id], lock=True)
        unapplied = await work.calls.unapplied_events([call_id])
        await work.calls.save([apply_events(call, unapplied)])
        await work.calls.mark_applied([event.id for event in unapplied], clock.now())


FACTS: list[Event] = [
    ("a", "status", n, {"status": "completed", name: value})
    for n, (name, value) in enumerate(
        [("duration", 2**40), ("duration", -1), ("sip_code", 2**63), ("price", "NaN"),
         ("price", "1e300"), ("at", "0001-01-01T00:00:00+14:00"), ("outcome", "\0"),
         ("callback_at", "9999-12-31T23:59:59-14:00")]
    )
]  # fmt: skip
ODD: list[Event] = [("\0", "status", 0, {}), ("a", "unheard", 0, {}), ("a", "status", 2**40, {})]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=8))
@example(FACTS)
@example(ODD)
async def test_the_memory_store_takes_them(memory: MemoryStore, given: list[Event]) -> None:
    await check(memory, given)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=8))
@example(FACTS)
@example(ODD)
async def test_postgresql_takes_them(postgres: PostgresStore, given: list[Event]) -> None:
    await check(postgres, given)


async def check(store: Store, given: list[Event]) -> None:
    clock = FrozenClock(NOON)
    _, (enrolment,) = await enrolled(store, new_leads(1), uuid4().hex)
    (call,) = await add_calls(store, [new_call(enrolment)])
    await save_calls(store, placed(call))
    await take(store, clock, call.id, given)
    await take(store, clock, call.id, [("end", "status", 10, {"status": "completed"})])
    async with store.begin() as work:
        (after,) = await work.calls.get_many([call.id])
    assert CALL.is_terminal(after.status)
