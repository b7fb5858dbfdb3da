"""Contexts for jobs, without servers."""

from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, cast

from obstore.store import MemoryStore as MemoryRecordings

from jobs.context import JobContext
from jobs.inbox import receive
from jobs.settings import load_settings
from jobs.store.memory import MemoryStore
from jobs.testing.clock import FrozenClock
from jobs.testing.enqueued import RecordedPool
from jobs.voice import SeededPlan, Simulator

NOON: Final = datetime(2026, 3, 10, 17, tzinfo=UTC)
"""A Tuesday, within calling hours from New York to San Francisco."""


def make_context(**overrides: Any) -> JobContext:
    """Return a context for one job; requires a running event loop.

    The clock is a `FrozenClock`, the store and the recordings are in memory, redis is a
    `RecordedPool`, and voice is a simulator with its events going to the store. The fixture
    `job_context` provides the same context and closes it; without the fixture, close it with
    `await ctx["voice"].close()`.

    Args:
        overrides: Entries to replace: `clock`, `store`, `recordings`, `redis`, `voice`,
            `settings`, `job_id`, `job_try`, `enqueue_time` or `score`.
    """
    clock = overrides.setdefault("clock", FrozenClock(NOON))
    redis = overrides.setdefault("redis", RecordedPool(clock=clock))
    store = overrides.setdefault("store", MemoryStore(clock=clock, publish=redis.enqueue_many))
    if "voice" not in overrides:
        overrides["voice"] = Simulator(SeededPlan(), clock, partial(receive, store, clock))
    context: dict[str, Any] = {
        "recordings": MemoryRecordings(),
        "settings": overrides.get("settings") or load_settings(_env_file=None),
        "job_id": "test",
        "job_try": 1,
        "enqueue_time": clock.now(),
        "score": int(clock.now().timestamp() * 1000),
    }
    return cast("JobContext", context | overrides)
