"""Reads the state of Redis: the jobs of a queue, their holders, and kept results."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from arq.connections import ArqRedis
from arq.jobs import Deserializer, JobDef, JobResult, deserialize_job, deserialize_result

from jobs.engine.queue.keys import IN_PROGRESS, JOB, RESULT, RETRY

_SCAN_COUNT: Final = 1000
_RESULTS_PER_READ: Final = 100
"""Results may be large, so few are read per call."""


async def jobs_of(
    redis: ArqRedis, queue: str, *, deserializer: Deserializer | None
) -> list[JobDef]:
    """Return the jobs of a queue, running jobs included.

    Args:
        redis: Client of the queue's server.
        queue: Name of the queue.
        deserializer: Deserializer of the payloads. None for pickle.

    Returns:
        The jobs in order of their due time. Jobs with an expired payload are left out.
    """
    entries = await redis.zrange(queue, 0, -1, withscores=True)
    if not entries:
        return []
    payloads = await redis.mget([JOB + job_id.decode() for job_id, _ in entries])
    jobs = []
    for (job_id, score), payload in zip(entries, payloads, strict=True):
        if payload is None:
            continue
        job = deserialize_job(payload, deserializer=deserializer)
        job.job_id, job.score = (
            job_id.decode(),
            abs(int(score)),
        )  # a running job has a negative score
        jobs.append(job)
    return sorted(jobs, key=lambda job: job.score or 0)


async def results_of(
    servers: Iterable[ArqRedis], *, deserializer: Deserializer | None
) -> list[JobResult]:
    """Return all kept results.

    Args:
        servers: Clients of the servers to read.
        deserializer: Deserializer of the results. None for pickle.

    Returns:
        The results in order of enqueuing.
    """
    results = []
    for redis in servers:
        scanned = [key async for key in redis.scan_iter(match=RESULT + "*", count=_SCAN_COUNT)]
        keys = list(dict.fromkeys(scanned))  # SCAN may return a key twice
        for start in range(0, len(keys), _RESULTS_PER_READ):
            page = keys[start : start + _RESULTS_PER_READ]
            for key, data in zip(page, await redis.mget(page), strict=True):
                if data:
                    result = deserialize_result(data, deserializer=deserializer)
                    result.job_id = key.decode().removeprefix(RESULT)
                    results.append(result)
    return sorted(results, key=lambda result: result.enqueue_time)


async def holders(redis: ArqRedis, queues: Iterable[str]) -> Mapping[str, str | None]:
    """Return the workers that hold the due jobs of queues.

    Args:
        redis: Client of the queues' server.
        queues: Names of the queues.

    Returns:
        The worker id of each due job, by job id. None for a job that no worker holds.
    """
    seconds, micros = await redis.time()
    now_ms = seconds * 1000 + micros // 1000
    due: list[bytes] = []
    for queue in queues:
        job_ids: Any = await redis.zrangebyscore(queue, "-inf", now_ms)
        due += job_ids
    if not due:
        return {}
    tokens = await redis.mget([IN_PROGRESS + job_id.decode() for job_id in due])
    return {
        job_id.decode(): None if token is None else token.decode().partition(":")[0]
        for job_id, token in zip(due, tokens, strict=True)
    }


_SCHEDULED_ID: Final = re.compile(r"(cron:)?[\w.]+(:.+)?:\d{13,}|only:[\w.]+")
"""Ids of schedules' jobs, which end with the fire time in milliseconds. Schedules enqueue jobs for
as long as a worker runs."""


async def left_behind(redis: ArqRedis, queues: Iterable[str]) -> frozenset[str]:
    """Return the jobs that Redis still has any state of, except jobs of schedules.

    Args:
        redis: Client of the queues' server.
        queues: Names of the queues.

    Returns:
        Ids of jobs that are queued, claimed, or have used tries.
    """
    ids: set[bytes] = set()
    for queue in queues:
        ids.update(await redis.zrange(queue, 0, -1))
    for prefix in (JOB, IN_PROGRESS, RETRY):
        async for key in redis.scan_iter(match=f"{prefix}*", count=_SCAN_COUNT):
            ids.add(key.removeprefix(prefix.encode()))
    job_ids = {job_id.decode() for job_id in ids}
    return frozenset(job_id for job_id in job_ids if not _SCHEDULED_ID.fullmatch(job_id))
