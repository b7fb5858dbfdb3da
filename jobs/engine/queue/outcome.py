"""Record of a finished execution, the source of logs, counters and traces."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class OutcomeKind(StrEnum):
    """Outcome of an execution."""

    DONE = "done"
    """The job returned."""
    RETRIED = "retried"
    """The job failed and runs again."""
    DEAD = "dead"
    """The job failed permanently and became a dead letter."""
    DISCARDED = "discarded"
    """The job expired, or failed permanently with dead letters off."""
    ABORTED = "aborted"
    """`Job.abort()` ended the job."""
    RELEASED = "released"
    """A worker requeued the job without using a try, such as at shutdown."""


class Outcome(NamedTuple):
    """A finished execution.

    Attributes:
        job_id: Id of the job.
        function: Name of the job.
        queue: Queue of the job.
        kind: Outcome of the execution.
        try_number: Number of the try, counted from 1.
        enqueued: Time of enqueuing, in POSIX seconds.
        started: Start of the execution, in POSIX seconds.
        finished: End of the execution, in POSIX seconds.
        error: `ErrorClass: message`, with personal data masked.
        retry_in: Delay until the next try. Set for RETRIED.
        fingerprint: Identifies failures that differ only in their data. Set for DEAD.
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
        """Return the duration of the execution in seconds."""
        return self.finished - self.started

    @property
    def enqueued_at(self) -> datetime:
        """Return the time of enqueuing in UTC."""
        return datetime.fromtimestamp(self.enqueued, UTC)

    @property
    def started_at(self) -> datetime:
        """Return the start of the execution in UTC."""
        return datetime.fromtimestamp(self.started, UTC)

    @property
    def finished_at(self) -> datetime:
        """Return the end of the execution in UTC."""
        return datetime.fromtimestamp(self.finished, UTC)
