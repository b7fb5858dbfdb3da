"""The provider's callbacks: stored first, applied by a job afterwards."""

from collections.abc import Sequence

from jobs.batches import batched
from jobs.engine.clock import Clock
from jobs.store.model import EventKind, NewEvent
from jobs.store.protocol import Store
from jobs.voice.protocol import ProviderEvent

CALLS_PER_JOB = 50


async def receive(store: Store, clock: Clock, events: Sequence[ProviderEvent]) -> None:
    """Stores the events that are new, and enqueues `call.apply_event` for their calls.

    When it returns, the events are safe: a provider may be told so.
    """
    now = clock.now()
    rows = [
        NewEvent(e.provider_id, EventKind(e.kind), e.sequence, e.call_id, e.payload, now)
        for e in events
    ]
    async with store.begin() as work:
        fresh = await work.calls.record_events(rows)
        calls = {event.call_id for event in fresh if event.call_id is not None}
        unnamed = {event.provider_id for event in fresh if event.call_id is None}
        if unnamed:
            calls.update((await work.calls.by_provider_id(unnamed)).values())
        for chunk in batched(sorted(calls), CALLS_PER_JOB):
            work.enqueue("call.apply_event", *chunk)
