"""What the queue is, in plain Python: all that Redis holds of a job id as one record, and what each
command of ours, of a stock producer and of a stock worker makes of it.

It says what is right, not how Redis is told: a script that does anything else is wrong.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

STOCK: Final = "1"
"""What a stock worker writes into the in-progress key."""


@dataclass(slots=True)
class Record:
    """A job id. at: its place in the queue; negative where one of ours has moved it aside.

    owner: whose claim is alive. tries: how many were used. lapses: of leases. put_back: because
    its function was unknown. result: the text that it returned or raised. letter: the payload in
    its dead letter. abort: when its abortion was asked for.
    """

    at: float | None = None
    payload: bytes | None = None
    owner: str | None = None
    tries: int = 0
    expired_leases: int = 0
    put_back: int = 0
    result: str | None = None
    letter: bytes | None = None
    abort: float | None = None

    @property
    def running_without_payload(self) -> bool:
        return self.at is not None and self.owner is not None and self.payload is None


@dataclass(frozen=True, slots=True)
class Held:
    """A claim as the model knows it: where the id stood, and the token that it is held under."""

    job_id: str
    queue: str
    due: float
    token: str
    has_payload: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """How a claim is given up.

    again: it runs again, at `at` or at its old place. tries: None where none was used. ending: the
    field of the counters.
    """

    ending: str
    again: bool = False
    at: float | None = None
    tries: int | None = None
    unknown: bool = False
    result: str | None = None
    letter: bytes | None = None


class QueueModel:
    """The queues and their jobs. Every id belongs to one queue."""

    def __init__(self, queues: Mapping[str, str]) -> None:
        self.queues = dict(queues)
        self.records = {job_id: Record() for job_id in queues}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.owed: dict[str, bytes] = {}
        """The jobs that were promised to a producer and have not ended: id to payload."""
        self.waiting: dict[str, set[str]] = {queue: set() for queue in queues.values()}
        """The workers of ours that may be handed a job of a queue."""

    # --- producers

    def may_enqueue(self, job_id: str) -> bool:
        """A payload or a kept result blocks an id."""
        record = self.records[job_id]
        return record.payload is None and record.result is None

    def enqueued(self, job_id: str, at: float, payload: bytes) -> None:
        record = self.records[job_id]
        record.at, record.payload = at, payload
        self.owed[job_id] = payload

    def may_be_handed(self, job_id: str) -> bool:
        """A worker needs more than its payload to run a job that has a past, and nobody takes one
        that still runs."""
        record = self.records[job_id]
        has_past = (
            record.tries or record.expired_leases or record.put_back or record.abort is not None
        )
        return not has_past and record.owner is None

    def expired(self, job_id: str) -> None:
        """The payload has passed its deadline; nobody is owed the job any more."""
        self.records[job_id].payload = None
        self.owed.pop(job_id, None)

    def abort_asked(self, job_id: str, at: float, now: float) -> None:
        """`Job.abort()` makes a deferred job due at once, and leaves a mark."""
        record = self.records[job_id]
        known = record.payload is not None or record.result is not None
        if known and record.at is not None and record.at > now:
            record.at = 1
        record.abort = at

    def revived(self, job_id: str, at: float) -> None:
        record = self.records[job_id]
        assert record.letter is not None
        record.at, record.payload, record.letter = at, record.letter, None
        record.tries, record.expired_leases, record.result, record.abort = 0, 0, None, None
        self.owed[job_id] = record.payload

    # --- our workers

    def claimable(self, queue: str, now: float) -> list[str]:
        """The ids that one of ours may claim, in order."""
        return [
            job_id
            for job_id in self._in_order(queue)
            if 0 < self._at(job_id) <= now and self.records[job_id].owner is None
        ]

    def undecided(self, queues: Iterable[str]) -> set[str]:
        """What `Job.abort()` has made due, and not yet said that it is to be aborted."""
        return {
            job_id
            for job_id, one in self.records.items()
            if self.queues[job_id] in queues and one.at == 1
            if one.owner is None and one.abort is None
        }

    def claimed(self, job_id: str, token: str) -> Held:
        record = self.records[job_id]
        due = self._at(job_id)
        record.at, record.owner = -due, token
        return Held(job_id, self.queues[job_id], due, token, record.payload is not None)

    def waits(self, worker: str, queues: Iterable[str], *, waits: bool) -> None:
        """A worker has something to do, or has not."""
        for queue in queues:
            if waits:
                self.waiting[queue].add(worker)
            else:
                self.waiting[queue].discard(worker)

    def accepts(self, held: Held, *, again: bool) -> bool:
        """The holder ends its job. Whoever has let the lease lapse may still do so, unless somebody
        holds the job now, or it has ended, or been given another time, since. What has been put
        back already is not put back again."""
        record = self.records[held.job_id]
        if record.owner is not None:
            return record.owner == held.token
        return record.at == -held.due or (record.at == held.due and not again)

    def ended(self, held: Held, how: Ended) -> None:
        """An accepted end."""
        record = self.records[held.job_id]
        self.counts[held.queue, how.ending] += 1
        record.owner = None
        if how.again:
            record.at = held.due if how.at is None else how.at
            record.put_back += how.unknown
            if how.tries is not None:
                record.tries = how.tries
            return
        if how.result is not None and (held.has_payload or record.result is None):
            record.result = how.result
        if how.letter is not None:
            record.letter = how.letter
        record.at = record.payload = record.abort = None
        record.tries = record.expired_leases = record.put_back = 0
        self.owed.pop(held.job_id, None)

    def renewed(self, held: Held) -> bool:
        """Whether the claim is still this worker's; a lapsed one that nobody took is again."""
        record = self.records[held.job_id]
        if record.owner is None and record.at == -held.due:
            record.owner = held.token
        return record.owner == held.token

    def reaped(self, queues: Iterable[str]) -> set[str]:
        """Claims whose lease has lapsed go back to where they were; their ids."""
        back = set()
        for job_id, record in self.records.items():
            moved_aside = record.at is not None and record.at < 0
            if self.queues[job_id] in queues and moved_aside and record.owner is None:
                record.at = -self._at(job_id)
                record.expired_leases += 1
                back.add(job_id)
        return back

    def taken_back(self, tokens: Collection[str]) -> None:
        """What was claimed under these and runs nowhere goes back to where it was: no lapse."""
        for record in self.records.values():
            if record.owner in tokens and record.at is not None and record.at < 0:
                record.at, record.owner = -record.at, None

    # --- stock workers

    def stock_reads(self, queue: str, now: float, limit: int) -> list[str]:
        """What a stock worker claims of the first `limit` ids that it reads."""
        read = [job_id for job_id in self._in_order(queue) if self._at(job_id) <= now][:limit]
        return [job_id for job_id in read if self.records[job_id].owner is None]

    def stock_claimed(self, job_id: str) -> float:
        """The try is counted at once; the score, which a relative retry needs."""
        record = self.records[job_id]
        record.owner = STOCK
        record.tries += 1
        return self._at(job_id)

    def stock_ended(self, job_id: str, result: str) -> None:
        """Whoever has the job by now: a stock worker asks nobody."""
        record = self.records[job_id]
        record.at = record.payload = record.owner = record.abort = None
        record.tries = 0
        record.result = result
        self.owed.pop(job_id, None)

    def stock_retries(self, job_id: str, at: float | None) -> None:
        """at: its new place, where it has one."""
        record = self.records[job_id]
        record.owner = None
        if at is not None:
            record.at = at

    def _in_order(self, queue: str) -> Sequence[str]:
        ids = [
            i for i, one in self.records.items() if self.queues[i] == queue and one.at is not None
        ]
        return sorted(ids, key=lambda job_id: (self._at(job_id), job_id))

    def _at(self, job_id: str) -> float:
        at = self.records[job_id].at
        assert at is not None
        return at
