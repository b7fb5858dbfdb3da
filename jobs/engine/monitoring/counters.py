"""Counters of outcomes and durations in Redis, shared by all workers of a queue."""

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
"""Ratio of the bounds of a histogram bucket: quantiles are accurate to 5 %."""
_LOG_GROWTH: Final = math.log(GROWTH)
_DURATION: Final = "took:"
_LAST_BUCKET: Final = 400
"""A thousand years."""
_TIMED: Final = frozenset(
    {OutcomeKind.DONE, OutcomeKind.RETRIED, OutcomeKind.DEAD, OutcomeKind.DISCARDED}
)


def counter_update(queue: str, kind: OutcomeKind, seconds: float) -> CounterUpdate:
    """Return the counters of an outcome: the queue's hash, and the fields to increment.

    Args:
        queue: The job's queue.
        kind: The kind of the outcome, which names the first field.
        seconds: The duration; the second field is `took:N`, for bucket N of the histogram.
    """
    return _update(queue, kind, int(seconds * 1e6))


@lru_cache(maxsize=4096)
def _update(queue: str, kind: OutcomeKind, microseconds: int) -> CounterUpdate:
    took = f"{_DURATION}{bucket(microseconds)}" if kind in _TIMED else ""
    return counters(queue), kind.value, took


def bucket(microseconds: int) -> int:
    """Return the number of a histogram bucket: the logarithm to the base GROWTH."""
    return min(round(math.log(microseconds) / _LOG_GROWTH), _LAST_BUCKET) if microseconds > 0 else 0


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The state and the counters of a queue, over all workers.

    Attributes:
        queue: The queue's name.
        waiting: Jobs that are due and not started.
        scheduled: Jobs that are due later.
        running: Jobs that run.
        done: Executions that returned, since the counters were last cleared.
        retried: Executions that failed and run again.
        dead: Jobs that became dead letters.
        discarded: Jobs that failed for good without a dead letter.
        aborted: Jobs that `Job.abort()` ended.
        released: Executions that a shutdown interrupted.
        durations: Executions by the number of their histogram bucket.
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
        """Jobs in the queue, the running ones included."""
        return self.waiting + self.scheduled + self.running

    @property
    def success_rate(self) -> float | None:
        """Share of done jobs among those that ended; None if none ended."""
        return _ratio(self.done, self.done + self.dead + self.discarded)

    @property
    def error_rate(self) -> float | None:
        """Share of failed executions among those that ended; None if none ended."""
        failed = self.retried + self.dead + self.discarded
        return _ratio(failed, self.done + failed)

    def quantile(self, q: float) -> timedelta | None:
        """Return the duration that a share `q` of executions did not exceed, accurate to 5 %."""
        total = sum(self.durations.values())
        seen = 0
        for number, executions in sorted(self.durations.items()):
            seen += executions
            if seen >= q * total:
                return timedelta(microseconds=GROWTH**number)
        return None


async def read_stats(redis: Redis, queue: str) -> QueueStats:
    """Return the state and the counters of a queue."""
    # redis-py types these for both kinds of client.
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
        **{kind.value: fields.get(kind.value, 0) for kind in OutcomeKind},
        durations={
            int(name.removeprefix(_DURATION)): number
            for name, number in fields.items()
            if name.startswith(_DURATION)
        },
    )


async def count_outcome(redis: Redis, outcome: Outcome) -> None:
    """Count an outcome for arq's worker, whose completions run no script."""
    name, *fields = counter_update(outcome.queue, outcome.kind, outcome.seconds)
    async with redis.pipeline(transaction=True) as pipe:
        for field in filter(None, fields):
            pipe.hincrby(name, field, 1)
        await pipe.execute()


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
