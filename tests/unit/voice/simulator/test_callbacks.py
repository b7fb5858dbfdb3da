"""Delivery at least once, to whoever can take it."""

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


def an_event(sequence: int) -> ProviderEvent:
    return ProviderEvent("CA1", "status", sequence, UUID(int=1))


async def test_a_frozen_sink_loses_its_events_to_another() -> None:
    callbacks = Callbacks(FrozenClock(START), spacing=0, timeout=0.05)
    log = EventLog()
    frozen = asyncio.Event()

    async def sink(events: Sequence[ProviderEvent]) -> None:
        frozen.set()
        await asyncio.Event().wait()

    callbacks.attach(sink)
    callbacks.send(NOW, an_event(0))
    await frozen.wait()
    callbacks.attach(log)
    await log.wait_for(1)
    await callbacks.close()

    assert log.events == [an_event(0)]
    assert callbacks.failures == 1


async def test_many_due_events_come_in_their_order_in_bounded_batches() -> None:
    callbacks = Callbacks(FrozenClock(START), spacing=0)
    batches: list[Sequence[ProviderEvent]] = []

    async def sink(events: Sequence[ProviderEvent]) -> None:
        batches.append(events)

    for sequence in reversed(range(2 * MAX_BATCH + 1)):
        callbacks.send(NOW - 1 / (sequence + 1), an_event(sequence))
    callbacks.attach(sink)
    await callbacks.settle()
    await callbacks.close()

    assert [len(batch) for batch in batches] == [MAX_BATCH, MAX_BATCH, 1]
    assert [e.sequence for batch in batches for e in batch] == list(range(2 * MAX_BATCH + 1))


async def test_an_event_sent_later_but_due_earlier_comes_first() -> None:
    clock, log = FrozenClock(START), EventLog()
    callbacks = Callbacks(clock, spacing=0)
    callbacks.attach(log)
    callbacks.send(NOW + 1000, an_event(2))
    await callbacks.settle()
    callbacks.send(NOW, an_event(1))
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
    begun = loop.time()
    for sequence in range(4):
        callbacks.send(NOW, an_event(sequence))
        await log.wait_for(sequence + 1)
    await callbacks.close()

    assert loop.time() - begun >= 0.15


async def test_closing_leaves_what_is_not_due() -> None:
    callbacks = Callbacks(FrozenClock(START), spacing=0)
    callbacks.attach(EventLog())
    callbacks.send(NOW + 5, an_event(0))

    await callbacks.close()

    assert not callbacks.idle.is_set()
    assert callbacks.delivered == 0
