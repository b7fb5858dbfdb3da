"""What users of the jobs test with.

A job is a plain coroutine, so a unit test calls it with a context from `make_context`, which needs
no server; `run_job` does it the way a worker would, arguments and all. What follows from it is
looked up with `assert_enqueued`. The fixtures are in `jobs.testing.plugin`, which pytest finds by
itself.
"""

from jobs.store.memory import MemoryStore
from jobs.testing.clock import FrozenClock
from jobs.testing.context import make_context
from jobs.testing.enqueued import RecordedPool, assert_enqueued
from jobs.testing.running import run_job
from jobs.testing.waiting import wait_until

__all__ = [
    "FrozenClock",
    "MemoryStore",
    "RecordedPool",
    "assert_enqueued",
    "make_context",
    "run_job",
    "wait_until",
]
