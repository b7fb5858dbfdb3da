"""A job's context without any server."""

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
"""A Tuesday, in the middle of the calling window from New York to San Francisco."""


def make_context(**overrides: Any) -> JobContext:
    """A context for one job, to be made while an event loop runs.

    clock stands still until `advance`d; store and recordings are in memory; redis remembers what
    is enqueued; voice is a simulator whose events go to the store. Each can be overridden, and so
    can `settings`, `job_id`, `job_try`, `enqueue_time` and `score`. Close it with
    `await ctx["voice"].close()`, or take the fixture `job_context`.
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
