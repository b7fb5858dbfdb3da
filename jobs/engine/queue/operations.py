"""What a worker asks of the queues: claim jobs, renew their leases, finish them, put back what
was lost. Each is one script call for many jobs.

A claim is held under a token in arq's in-progress key, with the lease as its time to live; the id
stands in the queue at the negative of its score. Stock workers leave it alone while the key lives,
and take it over when it has lapsed.
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
"""Most jobs in one script call. Redis does nothing else meanwhile, and more of them cost more each:
they fall out of the processor's caches, on both sides."""
_LONGEST_WAIT_MS: Final = 6_000
_WAITS_PER_LEASE: Final = 0.4
"""What part of a lease jobs may be handed to a worker that does not say again that it waits. One
that falls silent then has them put back, lease and the reaper's pause of 0.6 leases included,
within two leases."""
NO_LIMIT_MS: Final = 2**53
"""Later than any time."""
_LAPSES_KEPT_MS: Final = 30 * 86_400_000


class QueueOperations:
    """The calls of one worker on its queues.

    lease: seconds that a claim is held without being renewed.
    """

    def __init__(self, channel: ScriptChannel, queues: Sequence[str], lease: float) -> None:
        self.worker_id = secrets.token_hex(8)
        self.lease_ms = round(lease * 1000)
        self.handoff_name = f"{self.worker_id}:{self.lease_ms}"
        """By which producers know what to hand over, and for how long it is claimed then."""
        self.handoff_window_ms = min(round(self.lease_ms * _WAITS_PER_LEASE), _LONGEST_WAIT_MS)
        """How long jobs may be handed to it after a claim that found none."""
        self._heard = time.monotonic(), 0.0
        self._channel = channel
        self._queues = list(queues)
        self._numbers = {queue: number for number, queue in enumerate(queues, 1)}
        self._serial = itertools.count()
        # A change of our own ends the watch of a queue: a finish that follows a watching claim has
        # to renew it.
        self._watching = False
        self._unheard: set[str] = set()
        """Tokens of the claims whose answer was lost: nobody runs what they may have brought."""

    async def claim(
        self,
        limit: int,
        *,
        with_aborts: bool = False,
        watch: bool = True,
        accept_handoff: bool | None = None,
    ) -> ClaimReply:
        """Claim up to `limit` jobs that are due, from all queues in turn.

        watch: the channel tells of the queues' next change, if slots are left free. waits: whether
        producers may hand this worker a job, if nothing is found; None: as before.
        """
        if self._unheard:
            await self._take_back()
        serial = next(self._serial)
        turn = serial % len(self._queues)
        queues = self._queues[turn:] + self._queues[:turn]
        token = f"{self.worker_id}:{serial}"
        since = time.monotonic()
        self._watching = watch
        try:
            now, next_due, left, *found = await self._channel.call(
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
            self._unheard.add(token)
            raise
        self._heard = since, float(now)
        due_in = None if next_due is None else max(float(next_due) - float(now), 0) / 1000
        return ClaimReply(_read(queues, token, since, *found), due_in, left)

    def handoff_claim(self, message: bytes) -> Claim:
        """The claim that a producer has made for this worker."""
        queue, job_id, score, token, payload = msgpack.unpackb(message, raw=True)
        since, now_ms = self._heard
        # By Redis's clock, as the message may have waited for this process to wake up.
        made = min(since + (float(score) - now_ms) / 1000, time.monotonic())
        return Claim(job_id.decode(), queue.decode(), score, token.decode(), payload, made)

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        """Give up to BATCH claims up, and count them; which were refused, because someone else has
        the job, or has finished it."""
        manners: dict[tuple[str, str, CompletionKind, CounterUpdate], int] = {}
        tries: list[Argument] = []
        letters: list[Argument] = []
        for number, finish in enumerate(batch):
            claim = finish.claim
            manner = (claim.token, claim.queue, finish.kind, finish.counter_update)
            which = manners.setdefault(manner, len(manners) + 1)
            tries += (claim.job_id, claim.score, which, finish.result)
            if finish.dead_letter:
                letters += (number, finish.dead_letter)
        shared = [
            (token, self._numbers[queue], how, counter_update)
            for token, queue, how, counter_update in manners
        ]
        refused: list[int] = await self._channel.call(
            FINISH, self._queues, pack((shared, tries, letters)), watch=self._watching
        )
        return refused

    async def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Renew the leases of `claims`; those that are lost."""
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
        """Put jobs back whose lease has lapsed, but not after `until_ms` by Redis's clock."""
        return await self._put_back(until_ms)

    async def _take_back(self) -> None:
        """Put back what this worker has claimed and was not told of: it runs nowhere."""
        tokens = list(self._unheard)
        await self._put_back(0, *tokens)
        self._unheard.difference_update(tokens)

    async def _put_back(self, lapsed_until_ms: int, *unheard: str) -> ReclaimReply:
        back: list[str] = []
        now_ms = 0
        for queue in self._queues:
            at, seen = 0, BATCH
            while seen == BATCH:
                seen, ids, now_ms = await self._channel.call(
                    RECLAIM, [queue], at, BATCH, _LAPSES_KEPT_MS, lapsed_until_ms, *unheard
                )
                at += seen - len(ids)
                back += [job_id.decode(errors="replace") for job_id in ids]
        return ReclaimReply(back, now_ms)


def _read(
    queues: Sequence[str],
    token: str,
    since: float,
    runs: Sequence[int],
    claimed: Sequence[bytes],
    payloads: Sequence[bytes | None],
    past: Sequence[Sequence[bytes | None]] | None,
) -> list[Claim]:
    """The claims in the answer of `claim.lua`."""
    ids, scores, at = claimed[::2], claimed[1::2], 0
    unreadable = _not_utf8(ids)
    claims: list[Claim] = []
    for number, count in zip(runs[::2], runs[1::2], strict=True):
        queue, part = queues[number - 1], slice(at, at + count)
        claims += [
            Claim(job_id.decode("utf-8", "replace"), queue, score, token, payload, since)
            for job_id, score, payload in zip(ids[part], scores[part], payloads[part], strict=True)
        ]
        at += count
    if past is not None:
        for claim, told in zip(claims, _pasts(len(claims), *past), strict=True):
            claim.history = told
    for i in unreadable:
        logger.error("queue %s: the id %r is not UTF-8, remove it", claims[i].queue, ids[i])
    if unreadable:
        return [claim for i, claim in enumerate(claims) if i not in unreadable]
    return claims


def _not_utf8(ids: Sequence[bytes]) -> Collection[int]:
    """The positions of ids that no producer of ours or of arq's has chosen. They stay claimed until
    their leases lapse: the others run."""
    try:
        b" ".join(ids).decode()
    except UnicodeDecodeError:
        return {i for i, one in enumerate(ids) if one.decode(errors="replace").encode() != one}
    return ()


def _pasts(
    count: int,
    tries: Sequence[bytes | None],
    aborts: Sequence[bytes | None],
    expired_leases: Sequence[bytes | None],
) -> Iterator[History]:
    none = [None] * count
    for used, abort, lapsed, unknown in zip(
        tries,
        aborts or none,
        expired_leases[:count] or none,
        expired_leases[count:] or none,
        strict=True,
    ):
        yield History(
            int(used or 0), float(abort) if abort else None, int(lapsed or 0), int(unknown or 0)
        )
