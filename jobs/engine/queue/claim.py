"""TODO."""

import asyncio
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from arq.constants import expires_extra_ms

from jobs.engine.connection.protocol import Argument
from jobs.engine.queue.keys import CRON_MARK_SECONDS
from jobs.engine.queue.outcome import Outcome

MAX_EXPIRED_LEASES: Final = 3
"""A job whose lease lapsed so often is not run again: it may be what kills the workers."""


CounterUpdate = tuple[str, str, str]
"""A hash of counters, and two of its fields; the second may be empty."""


NO_COUNTERS: Final[CounterUpdate] = ("", "", "")


class History(NamedTuple):
    """What is known of a job's earlier tries.

    tries: how many were used. abort_ms: when its abortion was asked for. lapses: how many leases
    of it lapsed. put_back: how often it was put back because nobody here knew its function.
    """

    tries: int = 0
    abort_ms: float | None = None
    expired_leases: int = 0
    requeues: int = 0


NO_HISTORY: Final = History()


@dataclass(slots=True, eq=False)
class Claim:
    """A job that this worker holds.

    score: its place in the queue, as Redis wrote it. since, until: `time.monotonic()`, when it was
    asked for, and when its job's time is over.
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
        """Whether its job is given up should its lease lapse once more."""
        return self.history.expired_leases == MAX_EXPIRED_LEASES - 1

    @property
    def due_ms(self) -> int:
        try:
            return int(self.score)
        except ValueError:  # a producer of its own may have given it a fraction
            return int(float(self.score))


@dataclass(frozen=True, slots=True)
class ClaimReply:
    """The answer to a claim.

    next_due_in: seconds until the next job is due, where slots were left free and there is one.
    left: ids in the queues, the running ones included; None where no slot was left free.
    """

    claims: list[Claim]
    next_due_in: float | None
    remaining: int | None


class ReclaimReply(NamedTuple):
    """job_ids: of what was put back. now_ms: Redis's time."""

    job_ids: list[str]
    now_ms: int


CompletionKind = tuple[str, Argument, Argument, Argument]
"""How a try ends, which many have in common: the words that `finish.lua` reads."""


@dataclass(slots=True, eq=False)
class Completion:
    """How a claim is given up.

    letter: of a job that is dead. outcome: what is told of the try, once Redis has taken it, and
    counted: where it is counted then. settled: resolved when Redis has answered.
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
        """The job is over. keep_ms: how long the result is kept, 0 for ever."""
        kind = "end" if claim.payload is not None else "absent"
        mark = CRON_MARK_SECONDS * 1000 if mark_fired else ""
        used = 1 if claim.history.tries else ""
        return cls(claim, (kind, keep_ms, mark, used), result or b"", dead_letter)

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
        """It runs again after `delay_ms`, or as soon as may be.

        tries: how many it has used; None: this one cost none. unknown: nobody here knows its
        function.
        """
        kind = "unknown" if unknown_function else "again"
        delay = "" if delay_ms is None else delay_ms
        return cls(claim, (kind, delay, "" if tries is None else tries, expiry_ms))
