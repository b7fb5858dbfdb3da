"""How one try of a job ended: the one record that logs, counters and traces are made from."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class OutcomeKind(StrEnum):
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


class Outcome(NamedTuple):
    """The end of one try.

    try_number counts from 1. enqueued, started, finished: POSIX seconds. error: `ErrorClass:
    message`, masked. retry_in: set when RETRIED. fingerprint: set when DEAD, the same for failures
    that are the same but for the data.
    """

    job_id: str
    function: str
    queue: str
    kind: OutcomeKind
    try_number: int
    enqueued: float
    started: float
    finished: float
    error: str | None = None
    retry_in: timedelta | None = None
    fingerprint: str | None = None

    @property
    def seconds(self) -> float:
        """How long the try took."""
        return self.finished - self.started

    @property
    def enqueued_at(self) -> datetime:
        return datetime.fromtimestamp(self.enqueued, UTC)

    @property
    def started_at(self) -> datetime:
        return datetime.fromtimestamp(self.started, UTC)

    @property
    def finished_at(self) -> datetime:
        return datetime.fromtimestamp(self.finished, UTC)
