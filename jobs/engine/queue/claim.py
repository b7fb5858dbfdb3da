"""Records exchanged with the queue scripts: claims and completions."""

import asyncio
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from arq.constants import expires_extra_ms

from jobs.engine.connection.protocol import Argument
from jobs.engine.queue.keys import CRON_MARK_SECONDS
from jobs.engine.queue.outcome import Outcome

MAX_EXPIRED_LEASES: Final = 3
"""A job whose leases expired this many times is not run again: it may be a poison job."""


CounterUpdate = tuple[str, str, str]
"""Key of a counters hash, and two of its fields to increment. The second field may be empty."""


NO_COUNTERS: Final[CounterUpdate] = ("", "", "")


class History(NamedTuple):
    """Earlier executions of a job.

    Attributes:
        tries: Number of tries used.
        abort_ms: Time of the abort request, in POSIX milliseconds.
        expired_leases: Number of leases that expired while the job ran.
        requeues: Number of times the job was requeued because its function was unknown.
    """

    tries: int = 0
    abort_ms: float | None = None
    expired_leases: int = 0
    requeues: int = 0


NO_HISTORY: Final = History()


@dataclass(slots=True, eq=False)
class Claim:
    """A job that this worker holds.

    Attributes:
        job_id: Id of the job.
        queue: Queue of the job.
        score: Score of the job in the queue, as Redis formats it.
        token: Owner token in the in-progress key.
        payload: Serialized job. None if it expired.
        claimed_at: Time at which the claim was requested, by `time.monotonic()`.
        history: Earlier executions of the job.
        deadline: End of the job's time limit, by `time.monotonic()`.
    """

    job_id: str
    queue: str
    score: bytes
    token: str
    payload: bytes | None
    claimed_at: float
    history: History = NO_HISTORY
    deadline: float = math.inf

    @property
    def may_be_poison(self) -> bool:
        """Return whether the job is given up if one more of its leases expires."""
        return self.history.expired_leases == MAX_EXPIRED_LEASES - 1

    @property
    def due_ms(self) -> int:
        """Return the job's due time in POSIX milliseconds."""
        try:
            return int(self.score)
        except ValueError:  # a foreign producer may use a fractional score
            return int(float(self.score))


@dataclass(frozen=True, slots=True)
class ClaimReply:
    """Reply to a claim.

    Attributes:
        claims: Jobs that were claimed.
        next_due_in: Seconds until the next deferred job is due. None if the claim reached its
            limit or no job is deferred.
        remaining: Number of ids in the queues, running jobs included. None if the claim reached
            its limit.
    """

    claims: list[Claim]
    next_due_in: float | None
    remaining: int | None


class ReclaimReply(NamedTuple):
    """Reply to a reclaim.

    Attributes:
        job_ids: Ids of the requeued jobs.
        now_ms: Time of Redis, in POSIX milliseconds.
    """

    job_ids: list[str]
    now_ms: int


CompletionKind = tuple[str, Argument, Argument, Argument]
"""The part of a completion that many executions share, in the format of `finish.lua`."""


@dataclass(slots=True, eq=False)
class Completion:
    """The end of an execution, as sent to Redis.

    Attributes:
        claim: Claim to give up.
        kind: Kind of the completion and its three parameters.
        result: Serialized result. Empty if none is kept.
        dead_letter: Encoded dead letter. Empty if there is none.
        outcome: Record for observers, passed to them once Redis has accepted the completion.
        counter_update: Counters to increment.
        settled: Future that is resolved when Redis has replied.
    """

    claim: Claim
    kind: CompletionKind
    result: bytes = b""
    dead_letter: bytes = b""
    outcome: Outcome | None = None
    counter_update: CounterUpdate = NO_COUNTERS
    settled: asyncio.Future[None] | None = None

    @property
    def is_requeue(self) -> bool:
        """Return whether the job stays in its queue."""
        return self.kind[0] in ("again", "unknown")

    @classmethod
    def finish(
        cls,
        claim: Claim,
        result: bytes | None,
        keep_ms: int,
        *,
        mark_fired: bool = False,
        dead_letter: bytes = b"",
    ) -> "Completion":
        """Create the completion of a job that does not run again.

        Args:
            claim: Claim to give up.
            result: Serialized result. None to keep no result.
            keep_ms: Time to live of the result, in milliseconds. 0 keeps it forever.
            mark_fired: Keep a mark that prevents another execution under the same job id. For
                schedules, whose job ids name the fire time.
            dead_letter: Encoded dead letter. Empty for none.

        Returns:
            The completion.
        """
        kind = "end" if claim.payload is not None else "absent"
        mark_ms = CRON_MARK_SECONDS * 1000 if mark_fired else ""
        used_tries = 1 if claim.history.tries else ""
        return cls(claim, (kind, keep_ms, mark_ms, used_tries), result or b"", dead_letter)

    @classmethod
    def requeue(
        cls,
        claim: Claim,
        *,
        delay_ms: int | None = None,
        tries: int | None = None,
        expiry_ms: int = expires_extra_ms,
        unknown_function: bool = False,
    ) -> "Completion":
        """Create the completion of a job that runs again.

        Args:
            claim: Claim to give up.
            delay_ms: Delay until the job is due, in milliseconds. None restores its due time.
            tries: Number of tries used so far. None if this execution used no try.
            expiry_ms: Time from the due time to the expiry of the payload, in milliseconds.
            unknown_function: The worker does not know the job's function.

        Returns:
            The completion.
        """
        kind = "unknown" if unknown_function else "again"
        delay = "" if delay_ms is None else delay_ms
        return cls(claim, (kind, delay, "" if tries is None else tries, expiry_ms))
