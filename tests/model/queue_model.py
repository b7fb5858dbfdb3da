"""Reference model of the queues in plain Python: one record per job id, and the effect of each
operation of our pool and workers, and of arq's pool and worker.

The model defines the correct result. A script that does anything else is wrong.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ARQ_OWNER: Final = "1"
"""Value that arq's worker writes to the in-progress key."""


@dataclass(slots=True)
class Record:
    """State of a job id.

    Attributes:
        at: Score in the queue. Negative while our worker holds the id.
        payload: Serialized job.
        owner: Token of the current lease.
        tries: Number of tries used.
        expired_leases: Number of expired leases.
        requeues: Number of requeues because the function was unknown.
        result: Text that the job returned or raised.
        dead_letter: Payload in the dead letter.
        abort: Time of the abort request, in POSIX milliseconds.
    """

    at: float | None = None
    payload: bytes | None = None
    owner: str | None = None
    tries: int = 0
    expired_leases: int = 0
    requeues: int = 0
    result: str | None = None
    dead_letter: bytes | None = None
    abort: float | None = None

    @property
    def running_without_payload(self) -> bool:
        return self.at is not None and self.owner is not None and self.payload is None


@dataclass(frozen=True, slots=True)
class Held:
    """A claim in the model: the score before the claim, and the token."""

    job_id: str
    queue: str
    due: float
    token: str
    has_payload: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected effect of a completion.

    Attributes:
        outcome: Field of the counters.
        requeued: Whether the job stays in the queue.
        at: New score. None restores the score before the claim.
        tries: Number of tries used. None if the execution used no try.
        unknown: Whether the requeue is counted because the function is unknown.
        result: Text of the kept result.
        dead_letter: Payload in the dead letter.
    """

    outcome: str
    requeued: bool = False
    at: float | None = None
    tries: int | None = None
    unknown: bool = False
    result: str | None = None
    dead_letter: bytes | None = None


class QueueModel:
    """The queues and their jobs. Each id belongs to one queue."""

    def __init__(self, queues: Mapping[str, str]) -> None:
        self.queues = dict(queues)
        self.records = {job_id: Record() for job_id in queues}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.promised: dict[str, bytes] = {}
        """Payloads of jobs that a producer enqueued and that are not finished, by id."""
        self.waiting: dict[str, set[str]] = {queue: set() for queue in queues.values()}
        """Workers that accept hand-offs, by queue."""

    # --- producers

    def may_enqueue(self, job_id: str) -> bool:
        """Return whether the id has neither a payload nor a kept result."""
        record = self.records[job_id]
        return record.payload is None and record.result is None

    def enqueued(self, job_id: str, at: float, payload: bytes) -> None:
        record = self.records[job_id]
        record.at, record.payload = at, payload
        self.promised[job_id] = payload

    def may_be_handed_off(self, job_id: str) -> bool:
        """Return whether a producer may hand the job to a worker: a job with a history needs more
        than its payload, and a running job must not be claimed."""
        record = self.records[job_id]
        has_past = (
            record.tries or record.expired_leases or record.requeues or record.abort is not None
        )
        return not has_past and record.owner is None

    def expired(self, job_id: str) -> None:
        """The payload has expired, so the job is no longer promised."""
        self.records[job_id].payload = None
        self.promised.pop(job_id, None)

    def abort_requested(self, job_id: str, at: float, now: float) -> None:
        """`Job.abort()` makes a deferred job due at once, and adds an abort request."""
        record = self.records[job_id]
        known = record.payload is not None or record.result is not None
        if known and record.at is not None and record.at > now:
            record.at = 1
        record.abort = at

    def retried_dead(self, job_id: str, at: float) -> None:
        record = self.records[job_id]
        assert record.dead_letter is not None
        record.at, record.payload, record.dead_letter = at, record.dead_letter, None
        record.tries, record.expired_leases, record.result, record.abort = 0, 0, None, None
        self.promised[job_id] = record.payload

    # --- our workers

    def claimable(self, queue: str, now: float) -> list[str]:
        """Return the ids that our worker may claim, in order."""
        return [
            job_id
            for job_id in self._in_order(queue)
            if 0 < self._at(job_id) <= now and self.records[job_id].owner is None
        ]

    def undecided(self, queues: Iterable[str]) -> set[str]:
        """Return jobs that `Job.abort()` made due before it added the abort request."""
        return {
            job_id
            for job_id, record in self.records.items()
            if self.queues[job_id] in queues and record.at == 1
            if record.owner is None and record.abort is None
        }

    def claimed(self, job_id: str, token: str) -> Held:
        record = self.records[job_id]
        due = self._at(job_id)
        record.at, record.owner = -due, token
        return Held(job_id, self.queues[job_id], due, token, record.payload is not None)

    def accepts_handoff(self, worker: str, queues: Iterable[str], *, accepts_handoff: bool) -> None:
        """A claim starts or ends the hand-off window of a worker."""
        for queue in queues:
            if accepts_handoff:
                self.waiting[queue].add(worker)
            else:
                self.waiting[queue].discard(worker)

    def accepts(self, held: Held, *, is_requeue: bool) -> bool:
        """Return whether Redis accepts a completion. After the lease has expired, it is accepted
        unless another worker holds the job, or the job is finished or rescheduled. A requeue of a
        reclaimed job is refused."""
        record = self.records[held.job_id]
        if record.owner is not None:
            return record.owner == held.token
        return record.at == -held.due or (record.at == held.due and not is_requeue)

    def ended(self, held: Held, expected: Expected) -> None:
        """Apply an accepted completion."""
        record = self.records[held.job_id]
        self.counts[held.queue, expected.outcome] += 1
        record.owner = None
        if expected.requeued:
            record.at = held.due if expected.at is None else expected.at
            record.requeues += expected.unknown
            if expected.tries is not None:
                record.tries = expected.tries
            return
        if expected.result is not None and (held.has_payload or record.result is None):
            record.result = expected.result
        if expected.dead_letter is not None:
            record.dead_letter = expected.dead_letter
        record.at = record.payload = record.abort = None
        record.tries = record.expired_leases = record.requeues = 0
        self.promised.pop(held.job_id, None)

    def renewed(self, held: Held) -> bool:
        """Renew a lease; return whether the worker still holds it. An expired lease that nobody
        took is taken up again."""
        record = self.records[held.job_id]
        if record.owner is None and record.at == -held.due:
            record.owner = held.token
        return record.owner == held.token

    def reclaimed(self, queues: Iterable[str]) -> set[str]:
        """Requeue the jobs whose lease has expired; return their ids."""
        requeued = set()
        for job_id, record in self.records.items():
            is_claimed = record.at is not None and record.at < 0
            if self.queues[job_id] in queues and is_claimed and record.owner is None:
                record.at = -self._at(job_id)
                record.expired_leases += 1
                requeued.add(job_id)
        return requeued

    def requeue_unanswered(self, tokens: Collection[str]) -> None:
        """Requeue the jobs of claims whose reply was lost. No expired lease is counted."""
        for record in self.records.values():
            if record.owner in tokens and record.at is not None and record.at < 0:
                record.at, record.owner = -record.at, None

    # --- arq's worker

    def arq_claimable(self, queue: str, now: float, limit: int) -> list[str]:
        """Return the ids that arq's worker claims out of the first `limit` due ids."""
        read = [job_id for job_id in self._in_order(queue) if self._at(job_id) <= now][:limit]
        return [job_id for job_id in read if self.records[job_id].owner is None]

    def claimed_by_arq(self, job_id: str) -> float:
        """Apply a claim, which uses a try; return the score, which a relative retry needs."""
        record = self.records[job_id]
        record.owner = ARQ_OWNER
        record.tries += 1
        return self._at(job_id)

    def finished_by_arq(self, job_id: str, result: str) -> None:
        """Finish a job. arq's worker does not check whether it still holds the job."""
        record = self.records[job_id]
        record.at = record.payload = record.owner = record.abort = None
        record.tries = 0
        record.result = result
        self.promised.pop(job_id, None)

    def requeued_by_arq(self, job_id: str, at: float | None) -> None:
        """Requeue a job. `at` is its new score, or None to keep the score."""
        record = self.records[job_id]
        record.owner = None
        if at is not None:
            record.at = at

    def _in_order(self, queue: str) -> Sequence[str]:
        ids = [
            job_id
            for job_id, record in self.records.items()
            if self.queues[job_id] == queue and record.at is not None
        ]
        return sorted(ids, key=lambda job_id: (self._at(job_id), job_id))

    def _at(self, job_id: str) -> float:
        at = self.records[job_id].at
        assert at is not None
        return at
