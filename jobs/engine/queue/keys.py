"""Every Redis key that the engine uses: arq's keys and the engine's own.

No other module spells a key. The engine's own keys have the prefix `ringline:`, which tells them
from arq's keys in a listing.
"""

from typing import Final

from arq.constants import (
    abort_jobs_ss,
    default_queue_name,
    health_check_key_suffix,
    in_progress_key_prefix,
    job_key_prefix,
    keep_cronjob_progress,
    result_key_prefix,
    retry_key_prefix,
)

# arq's keys: the wire format. A queue is a zset under the queue's name.
ARQ_DEFAULT_QUEUE: Final = default_queue_name
JOB: Final = job_key_prefix
IN_PROGRESS: Final = in_progress_key_prefix
RESULT: Final = result_key_prefix
RETRY: Final = retry_key_prefix
ABORT: Final = abort_jobs_ss
HEALTH_SUFFIX: Final = health_check_key_suffix
CRON_MARK_SECONDS: Final = keep_cronjob_progress
FIRED: Final = "fired"
"""Value of the in-progress key of a schedule's job after it has run."""

# The engine's keys, one per Redis database.
DEAD_INDEX: Final = "ringline:dead"
"""zset: job ids of dead letters by the time of the failure, in POSIX milliseconds."""
DEAD_LETTERS: Final = "ringline:dead:letters"
"""hash: dead letters as JSON, by job id."""
LOST: Final = "ringline:lost"
"""hash: number of expired leases by job id. Finishing a job removes its field."""
UNKNOWN: Final = "unknown:"
"""Prefix of a field of LOST: number of requeues of the job because its function was unknown."""
ALERTED: Final = "ringline:alerted:"
"""string per fingerprint, with expiry: the job that the last alert reported."""
WORKERS: Final = "ringline:workers"
"""zset: worker ids by the time of the last heartbeat, in POSIX milliseconds."""

# The engine's keys, one per queue, worker or schedule, whose name is appended.
WAITING: Final = "ringline:waiting:"
"""zset per queue: idle workers by the end of the period in which producers may hand them a job, in
POSIX milliseconds."""
HANDED: Final = "ringline:handed:"
"""Channel (not a key) per worker: jobs that producers hand to the worker."""
COUNTERS: Final = "ringline:counters:"
"""hash per queue: counts of outcomes, and the histogram of durations."""
WORKER: Final = "ringline:worker:"
"""string per worker, with expiry: the worker's health."""
CRON: Final = "ringline:cron:"
"""hash per schedule: `slot`, the last fire time that fired, and `at`, the time at which it fired,
both in POSIX milliseconds."""
CRON_RAN: Final = "ringline:cron-ran:"
"""zset per schedule: later fire times that ran, in POSIX milliseconds. arq's workers do not record
the fire times that they enqueue."""


def counters(queue: str) -> str:
    """Return the key of a queue's counters."""
    return COUNTERS + queue


def health(queue: str) -> str:
    """Return arq's health-check key of a queue, which `arq --check` reads."""
    return queue + HEALTH_SUFFIX
