"""The queue: arq's API and wire format, with retries, dead letters, exact recovery and speed.

Usable without the domains and without PostgreSQL.
"""

from jobs.engine.clock import Clock, ScaledClock, SystemClock
from jobs.engine.config import EngineSettings
from jobs.engine.connection import LazyRedisSettings, NoRedisError
from jobs.engine.crons import Cron, cron
from jobs.engine.dead_letters import DeadLetter, DeadLetters, LetterFilter, LetterGroup, grouped
from jobs.engine.definition import find_job, job
from jobs.engine.job_request import JobRequest, request
from jobs.engine.observers import QueueStats, read_stats
from jobs.engine.outcome import Ending, Outcome
from jobs.engine.pool import Pool, create_pool
from jobs.engine.queues import QueueNames, QueueUrls
from jobs.engine.retries import NO_RETRY, RetryPolicy, backoff, retry
from jobs.engine.serializer import (
    RemoteError,
    deserialize,
    deserialize_or_unpickle,
    register_error,
    serialize,
)
from jobs.engine.worker import Worker

__all__ = [
    "NO_RETRY",
    "Clock",
    "Cron",
    "DeadLetter",
    "DeadLetters",
    "Ending",
    "EngineSettings",
    "JobRequest",
    "LazyRedisSettings",
    "LetterFilter",
    "LetterGroup",
    "NoRedisError",
    "Outcome",
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
    "create_pool",
    "cron",
    "deserialize",
    "deserialize_or_unpickle",
    "find_job",
    "grouped",
    "job",
    "read_stats",
    "register_error",
    "request",
    "retry",
    "serialize",
]
