"""Every Redis key that the engine touches: arq's, which are the wire format, and our own.

Nothing else in the project spells a key. Ours begin with `ringline:`, so that a list of keys shows
at once what arq knows and what it does not.
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

# arq's: see the wire format in docs/. A queue is a zset of that very name.
ARQ_DEFAULT_QUEUE: Final = default_queue_name
JOB: Final = job_key_prefix
IN_PROGRESS: Final = in_progress_key_prefix
RESULT: Final = result_key_prefix
RETRY: Final = retry_key_prefix
ABORT: Final = abort_jobs_ss
HEALTH_SUFFIX: Final = health_check_key_suffix
CRON_MARK_SECONDS: Final = keep_cronjob_progress
FIRED: Final = "fired"
"""What our workers write into the in-progress key of a schedule's slot that has run."""

# Ours, one for the whole Redis database.
DEAD_INDEX: Final = "ringline:dead"
"""zset: job id by the time of its death, in ms."""
DEAD_LETTERS: Final = "ringline:dead:letters"
"""hash: job id to the letter, as JSON."""
LOST: Final = "ringline:lost"
"""hash: job id to how many of its leases lapsed; a finished job is not in it."""
UNKNOWN: Final = "unknown:"
"""Before a job id, a field of LOST: how often it was put back because its function is unknown."""
ALERTED: Final = "ringline:alerted:"
"""string for each fingerprint, with expiry: the job that the last alert was about."""
WORKERS: Final = "ringline:workers"
"""zset: worker id by the time of its last sign of life, in ms."""

# Ours, one for each queue, job, worker or schedule: the name is appended.
WAITING: Final = "ringline:waiting:"
"""zset for each queue: the workers that have nothing to do, by the time in ms until when a producer
may hand them a job."""
HANDED: Final = "ringline:handed:"
"""Not a key but a channel, one for each worker: the jobs that are handed to it."""
COUNTERS: Final = "ringline:counters:"
"""hash for each queue: outcomes counted, and the histogram of durations."""
WORKER: Final = "ringline:worker:"
"""string for each worker: its health, with expiry."""
CRON: Final = "ringline:cron:"
"""hash for each schedule: `slot`, the last one that fired, and `at`, when it did, in ms."""
CRON_RAN: Final = "ringline:cron-ran:"
"""zset for each schedule: later slots that ran, in ms; stock workers fire without a word."""


def counters(queue: str) -> str:
    return COUNTERS + queue


def health(queue: str) -> str:
    """arq's health key of a queue, which `arq --check` reads."""
    return queue + HEALTH_SUFFIX
