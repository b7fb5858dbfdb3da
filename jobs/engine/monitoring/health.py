"""How it is seen that a worker lives: a key of its own, and arq's, which its queue's workers share.

arq's `--check` reads the shared key. Here it is written every few seconds, by whichever worker, and
removed by a worker that stops only while it still says what that worker wrote last.
"""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
from arq.connections import ArqRedis

from jobs.engine.queue.keys import WORKER, WORKERS

LONGEST_INTERVAL: Final = 5.0
"""Seconds between two signs of life."""
_MISSABLE: Final = 3
"""Signs of life that may fail to come before a worker counts as gone."""

_REMOVE_IF_OURS: Final = """
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
"""


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """What a worker says of itself."""

    worker_id: str
    host: str
    pid: int
    queues: Sequence[str]
    running: int
    max_jobs: int
    complete: int
    failed: int
    retried: int
    at: datetime

    @classmethod
    def of(cls, worker: "ObservedWorker", worker_id: str) -> "WorkerHealth":
        return cls(
            worker_id=worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=worker.queues,
            running=len(worker.tasks),
            max_jobs=worker.max_jobs,
            complete=worker.jobs_complete,
            failed=worker.jobs_failed,
            retried=worker.jobs_retried,
            at=datetime.now(UTC),
        )


class ObservedWorker(Protocol):
    """What of a worker is shown."""

    queues: list[str]
    tasks: dict[str, asyncio.Task[Any]]
    max_jobs: int
    jobs_complete: int
    jobs_failed: int
    jobs_retried: int


class HealthKeys:
    """The signs of life of one worker.

    keys: arq's. interval: seconds, at most LONGEST_INTERVAL. own_key: whether the worker has a key
    of its own besides.
    """

    def __init__(
        self,
        redis: ArqRedis,
        worker_id: str,
        keys: Sequence[str],
        interval: float,
        *,
        own_key: bool,
    ) -> None:
        self.interval = min(interval, LONGEST_INTERVAL)
        self._redis = redis
        self._worker_id = worker_id
        self._keys = keys
        self._own_key = own_key
        self._written = ""

    @property
    def _lasts_ms(self) -> int:
        return round((_MISSABLE * self.interval + 1) * 1000)

    async def write(self, text: str, sign: WorkerHealth) -> None:
        """text: what arq's health key says."""
        self._written = text
        async with self._redis.pipeline(transaction=True) as pipe:
            for key in self._keys:
                pipe.set(key, text, px=self._lasts_ms)
            if self._own_key:
                now_ms = round(time.time() * 1000)
                pipe.set(WORKER + self._worker_id, orjson.dumps(sign), px=self._lasts_ms)
                pipe.zadd(WORKERS, {self._worker_id: now_ms})
                pipe.zremrangebyscore(WORKERS, "-inf", now_ms - 10 * self._lasts_ms)
            await pipe.execute()

    async def remove(self) -> None:
        """Say goodbye. The shared keys stay while other workers are known to live."""
        others = 0
        if self._own_key:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(WORKER + self._worker_id)
                pipe.zrem(WORKERS, self._worker_id)
                pipe.zcard(WORKERS)
                *_, others = await pipe.execute()
        if not others:
            remove = self._redis.register_script(_REMOVE_IF_OURS)
            await remove(keys=self._keys, args=[self._written])


async def workers(redis: ArqRedis) -> list[WorkerHealth]:
    """The workers that live, over all queues."""
    ids = await redis.zrange(WORKERS, 0, -1)
    signs = await redis.mget([WORKER + one.decode() for one in ids]) if ids else []
    return [_sign(orjson.loads(one)) for one in signs if one is not None]


def _sign(said: dict[str, object]) -> WorkerHealth:
    at = datetime.fromisoformat(str(said.pop("at")))
    return WorkerHealth(**said, at=at)  # type: ignore[arg-type]  # as `write` made it
