"""The engine: arq's API and wire format, with retries, dead letters, exact recovery and speed.

It works without the domains and without PostgreSQL. Its packages, from the ground up; each imports
only those above it:

- `connection`: the link to Redis; knows nothing of jobs.
- `queue`: the wire format, and the only place with Redis keys.
- `monitoring`: counters, logs, alerts and heartbeats.
- `definition`: `@job`, `@retry`, and one execution of a job.
- `client`: enqueues jobs.
- `scheduling`: jobs at fire times.
- `worker`: claims jobs, runs them, and sends their ends to Redis.
- `bootstrap`: from settings classes to running processes.
"""

from jobs.clock import Clock, ScaledClock, SystemClock
from jobs.engine.bootstrap.worker_settings import EngineSettings
from jobs.engine.client.pickles import PickleCounts, count_pickles
from jobs.engine.client.pool import Pool
from jobs.engine.client.pools import create_pool
from jobs.engine.client.request import JobRequest, request
from jobs.engine.connection.connect import NoRedisError
from jobs.engine.definition.decorator import job
from jobs.engine.definition.job import find_job
from jobs.engine.definition.retry import NO_RETRY, RetryPolicy, backoff, retry
from jobs.engine.monitoring.counters import QueueStats, read_stats
from jobs.engine.queue.dead_letter import (
    DeadLetter,
    DeadLetterFilter,
    DeadLetterGroup,
    group_dead_letters,
)
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.engine.queue.names import QueueNames
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.engine.queue.serializer import (
    RemoteError,
    deserialize,
    deserialize_or_unpickle,
    register_error,
    serialize,
)
from jobs.engine.queue.servers import LazyRedisSettings, QueueUrls
from jobs.engine.scheduling.cron import Cron, cron
from jobs.engine.worker.worker import Worker

__all__ = [
    "NO_RETRY",
    "Clock",
    "Cron",
    "DeadLetter",
    "DeadLetterFilter",
    "DeadLetterGroup",
    "DeadLetterStore",
    "EngineSettings",
    "JobRequest",
    "LazyRedisSettings",
    "NoRedisError",
    "Outcome",
    "OutcomeKind",
    "PickleCounts",
    "Pool",
    "QueueNames",
    "QueueStats",
    "QueueUrls",
    "RemoteError",
    "RetryPolicy",
    "ScaledClock",
    "SystemClock",
    "Worker",
    "backoff",
    "count_pickles",
    "create_pool",
    "cron",
    "deserialize",
    "deserialize_or_unpickle",
    "find_job",
    "group_dead_letters",
    "job",
    "read_stats",
    "register_error",
    "request",
    "retry",
    "serialize",
]
