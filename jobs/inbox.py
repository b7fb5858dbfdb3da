"""The inbox: stores the provider's callbacks, which a job applies afterward."""

from collections.abc import Sequence
from typing import Final

import orjson
import structlog

from jobs.batches import batched
from jobs.clock import Clock
from jobs.store.model import EventKind, NewEvent
from jobs.store.protocol import Store
from jobs.voice.protocol import ProviderEvent

CALLS_PER_JOB = 50
KINDS: Final = frozenset(EventKind)

log = structlog.get_logger(__name__)


async def receive(store: Store, clock: Clock, events: Sequence[ProviderEvent]) -> None:
    """Store new events, and enqueue `call.apply_event` for their calls.

    When the function returns, the events are durable and can be acknowledged. An event that cannot
    be stored is left out: the provider would send it again and again, and block the others.

    Args:
        store: The store.
        clock: The time of receipt.
        events: Callbacks.
    """
    now = clock.now()
    rows = [
        NewEvent(e.provider_id, EventKind(e.kind), e.sequence, e.call_id, e.payload, now)
        for e in events
        if _can_be_stored(e)
    ]
    async with store.begin() as work:
        fresh = await work.calls.record_events(rows)
        calls = {event.call_id for event in fresh if event.call_id is not None}
        unnamed = {event.provider_id for event in fresh if event.call_id is None}
        if unnamed:
            calls.update((await work.calls.by_provider_id(unnamed)).values())
        for chunk in batched(sorted(calls), CALLS_PER_JOB):
            work.enqueue("call.apply_event", *chunk)


def _can_be_stored(event: ProviderEvent) -> bool:
    """Return whether PostgreSQL can store an event: no NUL, no lone surrogate, no huge number."""
    try:
        orjson.dumps((event.provider_id, event.payload), default=dict)
        texts = (event.provider_id, *event.payload, *map(str, event.payload.values()))
        known = event.kind in KINDS and -(2**31) <= event.sequence < 2**31
        stored = known and not any("\0" in text for text in texts)
    except (TypeError, ValueError):
        stored = False
    if not stored:
        log.warning("event_left_out", call_id=event.call_id)
    return stored
