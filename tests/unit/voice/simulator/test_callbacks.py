"""Delivery of callbacks: at least once, in order and in batches."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from jobs.testing.clock import FrozenClock
from jobs.testing.voice import EventLog
from jobs.voice.protocol import ProviderEvent
from jobs.voice.simulator.callbacks import MAX_BATCH, Callbacks

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
NOW = START.timestamp()


def make_event(sequence: int) -> ProviderEvent:
    return ProviderEvent("CA1", "status", sequence, UUID(int=1))


async def test_events_of_a_frozen_sink_go_to_another_sink() -> None:
    callbacks = Callbacks(FrozenClock(START), spacing=0, timeout=0.05)
    log = EventLog()
    frozen = asyncio.Event()

    async def sink(events: Sequence[ProviderEvent]) -> None:
        frozen.set()
        await asyncio.Event().wait()

    callbacks.attach(sink)
    callbacks.send(NOW, make_event(0))
    await frozen.wait()
    callbacks.attach(log)
    await log.wait_for(1)
    await callbacks.close()

    assert log.events == [make_event(0)]
    assert callbacks.failures == 1


async def test_due_events_arrive_in_order_in_bounded_batches() -> None:
    callbacks = Callbacks(FrozenClock(START), spacing=0)
    batches: list[Sequence[ProviderEvent]] = []

    async def sink(events: Sequence[ProviderEvent]) -> None:
        batches.append(events)

    for sequence in reversed(range(2 * MAX_BATCH + 1)):
        callbacks.send(NOW - 1 / (sequence + 1), make_event(sequence))
    callbacks.attach(sink)
    await callbacks.settle()
    await callbacks.close()

    assert [len(batch) for batch in batches] == [MAX_BATCH, MAX_BATCH, 1]
    assert [event.sequence for batch in batches for event in batch] == list(
        range(2 * MAX_BATCH + 1)
    )


async def test_event_due_earlier_arrives_first() -> None:
    clock, log = FrozenClock(START), EventLog()
    callbacks = Callbacks(clock, spacing=0)
    callbacks.attach(log)
    callbacks.send(NOW + 1000, make_event(2))
    await callbacks.settle()
    callbacks.send(NOW, make_event(1))
    await log.wait_for(1)
    clock.advance(timedelta(seconds=1000))
    await callbacks.settle()
    await callbacks.close()

    assert [event.sequence for event in log.events] == [1, 2]


async def test_batches_are_spaced() -> None:
    clock, log = FrozenClock(START), EventLog()
    callbacks = Callbacks(clock, spacing=0.05)
    callbacks.attach(log)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for sequence in range(4):
        callbacks.send(NOW, make_event(sequence))
        await log.wait_for(sequence + 1)
    await callbacks.close()

    assert loop.time() - started >= 0.15


async def test_close_delivers_no_pending_event() -> None:
    callbacks = Callbacks(FrozenClock(START), spacing=0)
    callbacks.attach(EventLog())
    callbacks.send(NOW + 5, make_event(0))

    await callbacks.close()

    assert not callbacks.idle.is_set()
    assert callbacks.delivered == 0
