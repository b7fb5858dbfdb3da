"""What outcomes become in Redis: counters that all workers share."""

import asyncio
import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Final, cast

from redis.asyncio import Redis

from jobs.engine.queue.claim import CounterUpdate
from jobs.engine.queue.keys import counters
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.engine.queue.scripts import QUEUE_STATE

GROWTH: Final = 1.1
"""Each bucket of the histogram ends 10 % above the one before: quantiles are right to 5 %."""
_LOG_GROWTH: Final = math.log(GROWTH)
_TOOK: Final = "took:"
_LAST: Final = 400
"""The number of the last bucket: a thousand years."""
_TIMED: Final = frozenset(
    {OutcomeKind.DONE, OutcomeKind.RETRIED, OutcomeKind.DEAD, OutcomeKind.DISCARDED}
)


def counter_update(queue: str, ending: OutcomeKind, seconds: float) -> CounterUpdate:
    """Where the end of a try is counted that took so long: the hash of its queue; there the field
    of its ending, and `took:N`, where its duration is in bucket N of the histogram."""
    return _counted(queue, ending, int(seconds * 1e6))


@lru_cache(maxsize=4096)
def _counted(queue: str, ending: OutcomeKind, microseconds: int) -> CounterUpdate:
    took = f"{_TOOK}{bucket(microseconds)}" if ending in _TIMED else ""
    return counters(queue), ending.value, took


def bucket(microseconds: int) -> int:
    """The number of the bucket: the logarithm of the microseconds, to the base GROWTH."""
    return min(round(math.log(microseconds) / _LOG_GROWTH), _LAST) if microseconds > 0 else 0


@dataclass(frozen=True, slots=True)
class QueueStats:
    """A queue over all of its workers; counts since the counters were last cleared.

    waiting: due and not started. scheduled: due later. durations: bucket to tries that took so
    long. A ratio without anything to divide by is None.
    """

    queue: str
    waiting: int
    scheduled: int
    running: int
    done: int
    retried: int
    dead: int
    discarded: int
    aborted: int
    released: int
    durations: Mapping[int, int] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return self.waiting + self.scheduled + self.running

    @property
    def success_rate(self) -> float | None:
        """Jobs that were done, of those that ended."""
        return _ratio(self.done, self.done + self.dead + self.discarded)

    @property
    def error_rate(self) -> float | None:
        """Tries that failed, of those that ended."""
        failed = self.retried + self.dead + self.discarded
        return _ratio(failed, self.done + failed)

    def quantile(self, q: float) -> timedelta | None:
        """The time that a fraction `q` of the tries stayed below, right to 5 %."""
        total = sum(self.durations.values())
        seen = 0
        for number, tries in sorted(self.durations.items()):
            seen += tries
            if seen >= q * total:
                return timedelta(microseconds=GROWTH**number)
        return None


async def read_stats(redis: Redis, queue: str) -> QueueStats:
    """The queue's state and counters at this moment."""
    # redis-py types these for both of its kinds of client.
    state, stored = await asyncio.gather(
        cast("Awaitable[list[int]]", redis.eval(QUEUE_STATE.text, 1, queue)),
        cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(counters(queue))),
    )
    waiting, scheduled, running = state
    fields = {name.decode(): int(number) for name, number in stored.items()}
    return QueueStats(
        queue=queue,
        waiting=waiting,
        scheduled=scheduled,
        running=running,
        **{ending.value: fields.get(ending.value, 0) for ending in OutcomeKind},
        durations={
            int(name.removeprefix(_TOOK)): number
            for name, number in fields.items()
            if name.startswith(_TOOK)
        },
    )


async def count_outcome(redis: Redis, outcome: Outcome) -> None:
    """Counts an outcome, for a worker that has no finish script to do it in."""
    name, *fields = counter_update(outcome.queue, outcome.kind, outcome.seconds)
    async with redis.pipeline(transaction=True) as pipe:
        for field in filter(None, fields):
            pipe.hincrby(name, field, 1)
        await pipe.execute()


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
