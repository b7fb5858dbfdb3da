"""The provider's callbacks: stored first, applied by a job afterwards."""

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
    """Stores the events that are new, and enqueues `call.apply_event` for their calls.

    When it returns, the events are safe: a provider may be told so. One that has no form to be
    stored in is left out, since it would come again and hold up the others for ever.
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
    """Whether PostgreSQL has a form for it: no NUL, no half of a character, no huge number."""
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
