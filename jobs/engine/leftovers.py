"""What a queue that is through leaves in Redis: nothing but results, counters and dead letters."""

import re
from collections.abc import Iterable
from typing import Final

from arq.connections import ArqRedis

from jobs.engine.queue.keys import IN_PROGRESS, JOB, RETRY

_SCAN: Final = 1000
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
