"""How one try of a job ended: the one record that logs, counters and traces are made from."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Ending(StrEnum):
    """The few ways in which a try can end."""

    DONE = "done"
    """It returned."""
    RETRIED = "retried"
    """It failed and will run again."""
    DEAD = "dead"
    """It failed for good and is kept as a dead letter."""
    DISCARDED = "discarded"
    """It expired, or failed for good where dead letters are off."""
    ABORTED = "aborted"
    """`Job.abort()` ended it."""
    RELEASED = "released"
    """It was put back by a worker that is shutting down; this cost no try."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one try.

    try_number counts from 1. error: `ErrorClass: message`, masked. retry_in: set when RETRIED.
    """

    job_id: str
    function: str
    queue: str
    ending: Ending
    try_number: int
    enqueued_at: datetime
    started_at: datetime
    finished_at: datetime
    error: str | None = None
    retry_in: timedelta | None = None

    @property
    def duration(self) -> timedelta:
        return self.finished_at - self.started_at
