"""Which worker holds which job, as its leases say."""

from collections.abc import Iterable, Mapping
from typing import Any

from arq.connections import ArqRedis

from jobs.engine.queue.keys import IN_PROGRESS


async def holders(redis: ArqRedis, queues: Iterable[str]) -> Mapping[str, str | None]:
    """For each job that is due: the id of the worker that holds it, or None."""
    seconds, micros = await redis.time()
    now_ms = seconds * 1000 + micros // 1000
    due: list[bytes] = []
    for queue in queues:
        found: Any = await redis.zrangebyscore(queue, "-inf", now_ms)
        due += found
    if not due:
        return {}
    tokens = await redis.mget([IN_PROGRESS + job_id.decode() for job_id in due])
    return {
        job_id.decode(): None if token is None else token.decode().partition(":")[0]
        for job_id, token in zip(due, tokens, strict=True)
    }
