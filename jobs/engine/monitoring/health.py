"""Worker heartbeats: one key per worker, plus arq's health-check key.

All workers of a queue share arq's key, which `arq --check` reads. Every worker writes it every few
seconds. A worker that stops removes it only if the key still holds what that worker wrote last.
"""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import orjson
from arq.connections import ArqRedis

from jobs.engine.queue.keys import WORKER, WORKERS

MAX_INTERVAL: Final = 5.0
"""Seconds between two heartbeats."""
_MAX_MISSED: Final = 3
"""Heartbeats that may be missing before a worker counts as lost."""

_REMOVE_IF_OURS: Final = """
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """The state that a worker publishes with its heartbeat.

    Attributes:
        worker_id: Random id of the worker.
        host: Host name; by default that of this process, as `pid`.
        pid: Process id.
        queues: The queues that the worker serves.
        running: Jobs that run.
        max_jobs: Jobs that may run at once.
        complete: Executions that returned.
        failed: Executions that failed for good.
        retried: Executions that run again.
        at: Time of the heartbeat; by default now.
    """

    worker_id: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    queues: Sequence[str]
    running: int
    max_jobs: int
    complete: int
    failed: int
    retried: int
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class HealthKeys:
    """Writes the heartbeats of one worker.

    Args:
        redis: The queues' Redis.
        worker_id: Random id of the worker.
        keys: arq's health-check keys.
        interval: Seconds between heartbeats, at most MAX_INTERVAL.
        own_key: Write a key per worker, too.
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
        self.interval = min(interval, MAX_INTERVAL)
        self._redis = redis
        self._worker_id = worker_id
        self._keys = keys
        self._own_key = own_key
        self._written = ""

    @property
    def _ttl_ms(self) -> int:
        return round((_MAX_MISSED * self.interval + 1) * 1000)

    async def write(self, text: str, health: WorkerHealth) -> None:
        """Write a heartbeat.

        Args:
            text: The value of arq's health-check keys.
            health: The state of the worker.
        """
        self._written = text
        async with self._redis.pipeline(transaction=True) as pipe:
            for key in self._keys:
                pipe.set(key, text, px=self._ttl_ms)
            if self._own_key:
                now_ms = round(time.time() * 1000)
                pipe.set(WORKER + self._worker_id, orjson.dumps(health), px=self._ttl_ms)
                pipe.zadd(WORKERS, {self._worker_id: now_ms})
                pipe.zremrangebyscore(WORKERS, "-inf", now_ms - 10 * self._ttl_ms)
            await pipe.execute()

    async def remove(self) -> None:
        """Remove the keys. The shared keys stay while other workers have heartbeats."""
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
    """Return the workers that have heartbeats, over all queues."""
    ids = await redis.zrange(WORKERS, 0, -1)
    found = await redis.mget([WORKER + worker_id.decode() for worker_id in ids]) if ids else []
    return [_read(orjson.loads(value)) for value in found if value is not None]


def _read(fields: dict[str, object]) -> WorkerHealth:
    at = datetime.fromisoformat(str(fields.pop("at")))
    return WorkerHealth(**fields, at=at)  # type: ignore[arg-type]  # as `write` wrote it
