"""Test support for jobs.

A job is a plain coroutine: a unit test calls it with a context from `make_context`, without any
server. `run_job` runs it as a worker does, and `assert_enqueued` checks its follow-up jobs. Pytest
loads the fixtures by itself.

`context`    contexts for jobs, without servers
`clock`      a business clock that only tests move
`running`    one execution of a job, as in a worker
`enqueued`   a pool that records jobs, and the assertion on enqueued jobs
`workers`    workers in the process of a test
`voice`      a fixed plan and a recording sink for the voice simulator
`waiting`    waiting for a condition, with a timeout
`plugin`     pytest plugin: all fixtures
`servers`    pytest fixtures: Redis and PostgreSQL databases, one of each per test
"""

from jobs.store.memory import MemoryStore
from jobs.testing.clock import FrozenClock
from jobs.testing.context import make_context
from jobs.testing.enqueued import RecordedPool, assert_enqueued
from jobs.testing.running import run_job
from jobs.testing.waiting import wait_until
from jobs.testing.workers import WorkerRunner

__all__ = [
    "FrozenClock",
    "MemoryStore",
    "RecordedPool",
    "WorkerRunner",
    "assert_enqueued",
    "make_context",
    "run_job",
    "wait_until",
]
