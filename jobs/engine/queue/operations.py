"""A worker's operations on its queues: claim, renew, finish and reclaim jobs.

Each operation is one script call for many jobs. A claim stores an owner token in arq's in-progress
key, with the lease as its time to live, and moves the id to the negative of its score. While the
key exists, arq's workers skip the id. Once the lease has expired, they can take the job over.
"""

import itertools
import logging
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgpack

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.protocol import Argument
from jobs.engine.connection.script import pack
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.queue.claim import (
    Claim,
    ClaimReply,
    Completion,
    CompletionKind,
    CounterUpdate,
    History,
    ReclaimReply,
)
from jobs.engine.queue.scripts import CLAIM, FINISH, RECLAIM, RENEW

logger = logging.getLogger("jobs.worker")

BATCH: Final = 100
"""Maximum number of jobs per script call. Redis runs nothing else meanwhile. Larger batches exceed
the processor caches of both sides and cost more per job."""
_MAX_HANDOFF_WINDOW_MS: Final = 6_000
_HANDOFF_WINDOW_PER_LEASE: Final = 0.4
"""Hand-off window as a fraction of the lease. A job handed to a worker that just froze is recovered
within two leases: window, lease, and the reclaim interval of 0.6 leases at most."""
NO_LIMIT_MS: Final = 2**53
"""A time later than any lease can expire."""
_EXPIRED_LEASES_TTL_MS: Final = 30 * 86_400_000


class QueueOperations:
    """Operations of one worker on its queues.

    Args:
        channel: Channel that runs the scripts.
        queues: Names of the queues.
        lease: Time for which a claim is held without renewal, in seconds.

    Attributes:
        worker_id: Random id of the worker.
        lease_ms: Lease in milliseconds.
        handoff_name: Worker id and lease, under which producers find a waiting worker.
        handoff_window_ms: Time after an empty claim during which producers may hand the worker a
            job, in milliseconds.
    """

    def __init__(self, channel: ScriptChannel, queues: Sequence[str], lease: float) -> None:
        self.worker_id = secrets.token_hex(8)
        self.lease_ms = round(lease * 1000)
        self.handoff_name = f"{self.worker_id}:{self.lease_ms}"
        self.handoff_window_ms = min(
            round(self.lease_ms * _HANDOFF_WINDOW_PER_LEASE), _MAX_HANDOFF_WINDOW_MS
        )
        self._redis_clock = time.monotonic(), 0.0
        """A local time, and the time of Redis in milliseconds at about that moment."""
        self._channel = channel
        self._queues = list(queues)
        self._numbers = {queue: number for number, queue in enumerate(queues, 1)}
        self._serial = itertools.count()
        # A change over this connection ends the tracking of a queue, so a finish after a watching
        # claim has to renew it.
        self._watching = False
        self._unanswered: set[str] = set()
        """Tokens of claims without a reply. Jobs claimed under these tokens run nowhere."""

    async def claim(
        self,
        limit: int,
        *,
        with_aborts: bool = False,
        watch: bool = True,
        accept_handoff: bool | None = None,
    ) -> ClaimReply:
        """Claim due jobs from all queues in turn.

        Args:
            limit: Maximum number of jobs. At most `BATCH` are claimed.
            with_aborts: Read the abort requests of the claimed jobs.
            watch: Notify the channel of the next change of the queues, if fewer jobs than `limit`
                were claimed.
            accept_handoff: If no job was claimed, allow producers to hand a job to this worker
                (True) or not (False). None changes nothing.

        Returns:
            The claimed jobs and the state of the queues.

        Raises:
            RedisError: The call failed. The next claim requeues the jobs that it may have claimed.
        """
        if self._unanswered:
            await self._requeue_unanswered()
        serial = next(self._serial)
        turn = serial % len(self._queues)
        queues = self._queues[turn:] + self._queues[:turn]
        token = f"{self.worker_id}:{serial}"
        claimed_at = time.monotonic()
        self._watching = watch
        try:
            now, next_due, remaining, *claimed = await self._channel.call(
                CLAIM,
                queues,
                token,
                self.lease_ms,
                min(limit, BATCH),
                "1" if with_aborts else "",
                "" if accept_handoff is None else self.handoff_name,
                self.handoff_window_ms if accept_handoff else 0,
                watch=watch,
            )
        except TRANSIENT_ERRORS:
            self._unanswered.add(token)
            raise
        self._redis_clock = claimed_at, float(now)
        due_in = None if next_due is None else max(float(next_due) - float(now), 0) / 1000
        return ClaimReply(_parse_claims(queues, token, claimed_at, *claimed), due_in, remaining)

    def handoff_claim(self, message: bytes) -> Claim:
        """Parse a hand-off message.

        Args:
            message: Message that `enqueue.lua` published for this worker.

        Returns:
            The claim that the producer made for this worker.
        """
        queue, job_id, score, token, payload = msgpack.unpackb(message, raw=True)
        local_time, redis_ms = self._redis_clock
        # Derive the time from Redis's clock: the message may have waited for this process.
        claimed_at = min(local_time + (float(score) - redis_ms) / 1000, time.monotonic())
        return Claim(job_id.decode(), queue.decode(), score, token.decode(), payload, claimed_at)

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        """Send completions to Redis.

        Args:
            batch: At most `BATCH` completions.

        Returns:
            Indexes of the completions that Redis refused, because the job is claimed or finished
            by another worker.

        Raises:
            RedisError: The call failed.
            TypeError: A result cannot be packed.
        """
        groups: dict[tuple[str, str, CompletionKind, CounterUpdate], int] = {}
        executions: list[Argument] = []
        dead_letters: list[Argument] = []
        for index, completion in enumerate(batch):
            claim = completion.claim
            group = (claim.token, claim.queue, completion.kind, completion.counter_update)
            group_number = groups.setdefault(group, len(groups) + 1)
            executions += (claim.job_id, claim.score, group_number, completion.result)
            if completion.dead_letter:
                dead_letters += (index, completion.dead_letter)
        packed_groups = [
            (token, self._numbers[queue], kind, counter_update)
            for token, queue, kind, counter_update in groups
        ]
        refused: list[int] = await self._channel.call(
            FINISH,
            self._queues,
            pack((packed_groups, executions, dead_letters)),
            watch=self._watching,
        )
        return refused

    async def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Renew the leases of claims.

        Args:
            claims: Claims of this worker.

        Returns:
            Claims whose lease is lost to another worker or whose job is finished.

        Raises:
            RedisError: The call failed.
        """
        held = list(claims)
        lost: list[Claim] = []
        for start in range(0, len(held), BATCH):
            batch = held[start : start + BATCH]
            args: list[Argument] = [self.lease_ms]
            for claim in batch:
                args += (claim.job_id, claim.token, claim.score, self._numbers[claim.queue])
            lost += [batch[i] for i in await self._channel.call(RENEW, self._queues, *args)]
        return lost

    async def reclaim(self, until_ms: int = NO_LIMIT_MS) -> ReclaimReply:
        """Requeue jobs whose lease has expired.

        Args:
            until_ms: Time of Redis, in POSIX milliseconds, after which nothing is requeued.

        Returns:
            The requeued jobs.

        Raises:
            RedisError: The call failed.
        """
        return await self._reclaim(until_ms)

    async def _requeue_unanswered(self) -> None:
        """Requeue the jobs of claims whose reply was lost."""
        tokens = list(self._unanswered)
        await self._reclaim(0, *tokens)
        self._unanswered.difference_update(tokens)

    async def _reclaim(self, expired_until_ms: int, *unanswered: str) -> ReclaimReply:
        requeued: list[str] = []
        now_ms = 0
        for queue in self._queues:
            offset, seen = 0, BATCH
            while seen == BATCH:
                seen, ids, now_ms = await self._channel.call(
                    RECLAIM,
                    [queue],
                    offset,
                    BATCH,
                    _EXPIRED_LEASES_TTL_MS,
                    expired_until_ms,
                    *unanswered,
                )
                offset += seen - len(ids)
                requeued += [job_id.decode(errors="replace") for job_id in ids]
        return ReclaimReply(requeued, now_ms)


def _parse_claims(
    queues: Sequence[str],
    token: str,
    claimed_at: float,
    counts: Sequence[int],
    ids_and_scores: Sequence[bytes],
    payloads: Sequence[bytes | None],
    histories: Sequence[Sequence[bytes | None]] | None,
) -> list[Claim]:
    """Parse the claims in the reply of `claim.lua`."""
    ids, scores, start = ids_and_scores[::2], ids_and_scores[1::2], 0
    unreadable = _not_utf8(ids)
    claims: list[Claim] = []
    for number, count in zip(counts[::2], counts[1::2], strict=True):
        queue, part = queues[number - 1], slice(start, start + count)
        claims += [
            Claim(job_id.decode("utf-8", "replace"), queue, score, token, payload, claimed_at)
            for job_id, score, payload in zip(ids[part], scores[part], payloads[part], strict=True)
        ]
        start += count
    if histories is not None:
        for claim, history in zip(claims, _parse_histories(len(claims), *histories), strict=True):
            claim.history = history
    for i in unreadable:
        logger.error(
            "skipping job: its id is not UTF-8, remove it queue=%s job_id=%r",
            claims[i].queue, ids[i],
        )  # fmt: skip
    if unreadable:
        return [claim for i, claim in enumerate(claims) if i not in unreadable]
    return claims


def _not_utf8(ids: Sequence[bytes]) -> Collection[int]:
    """Return the indexes of ids that are not UTF-8. They stay claimed until their lease expires."""
    try:
        b" ".join(ids).decode()
    except UnicodeDecodeError:
        return {
            i for i, job_id in enumerate(ids) if job_id.decode(errors="replace").encode() != job_id
        }
    return ()


def _parse_histories(
    count: int,
    tries: Sequence[bytes | None],
    aborts: Sequence[bytes | None],
    losses: Sequence[bytes | None],
) -> Iterator[History]:
    """Parse the histories of `count` claims. `losses` holds expired leases, then requeues."""
    none = [None] * count
    for used, abort_ms, expired, requeues in zip(
        tries, aborts or none, losses[:count] or none, losses[count:] or none, strict=True
    ):
        yield History(
            int(used or 0),
            float(abort_ms) if abort_ms else None,
            int(expired or 0),
            int(requeues or 0),
        )
