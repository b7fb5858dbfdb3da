"""What a Redis holds: the jobs of a queue, and kept results."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from arq.connections import ArqRedis
from arq.jobs import Deserializer, JobDef, JobResult, deserialize_job, deserialize_result

from jobs.engine.queue.keys import IN_PROGRESS, JOB, RESULT, RETRY

_SCAN: Final = 1000
_READ: Final = 100
"""Results read at once: they may be large."""


async def jobs_of(
    redis: ArqRedis, queue: str, *, deserializer: Deserializer | None
) -> list[JobDef]:
    """The jobs of a queue, in order of their due time, their score; those that run are among them,
    and ids whose payload has expired left out."""
    entries = await redis.zrange(queue, 0, -1, withscores=True)
    if not entries:
        return []
    payloads = await redis.mget([JOB + job_id.decode() for job_id, _ in entries])
    jobs = []
    for (job_id, score), payload in zip(entries, payloads, strict=True):
        if payload is None:
            continue
        job = deserialize_job(payload, deserializer=deserializer)
        job.job_id, job.score = job_id.decode(), abs(int(score))  # one that runs is below 0
        jobs.append(job)
    return sorted(jobs, key=lambda job: job.score or 0)


async def results_of(
    servers: Iterable[ArqRedis], *, deserializer: Deserializer | None
) -> list[JobResult]:
    """Every kept result, in order of enqueuing."""
    results = []
    for redis in servers:
        found = [key async for key in redis.scan_iter(match=RESULT + "*", count=_SCAN)]
        keys = list(dict.fromkeys(found))  # Redis may name one twice
        for start in range(0, len(keys), _READ):
            some = keys[start : start + _READ]
            for key, kept in zip(some, await redis.mget(some), strict=True):
                if kept:
                    result = deserialize_result(kept, deserializer=deserializer)
                    result.job_id = key.decode().removeprefix(RESULT)
                    results.append(result)
    return sorted(results, key=lambda result: result.enqueue_time)


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


_OF_A_SCHEDULE: Final = re.compile(r"(cron:)?[\w.]+(:.+)?:\d{13,}|only:[\w.]+")
"""Ids of crons, and of what they enqueue: their slot, in ms. They come for as long as a worker
runs."""


async def left_behind(redis: ArqRedis, queues: Iterable[str]) -> frozenset[str]:
    """The ids of jobs that are queued, claimed or half done, those of schedules left out."""
    ids: set[bytes] = set()
    for queue in queues:
        ids.update(await redis.zrange(queue, 0, -1))
    for prefix in (JOB, IN_PROGRESS, RETRY):
        async for key in redis.scan_iter(match=f"{prefix}*", count=_SCAN):
            ids.add(key.removeprefix(prefix.encode()))
    names = {one.decode() for one in ids}
    return frozenset(name for name in names if not _OF_A_SCHEDULE.fullmatch(name))
