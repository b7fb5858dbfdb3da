"""Count of the pickles in Redis, for a migration from arq's default serializer."""

from typing import Final, NamedTuple

from arq.connections import ArqRedis

from jobs.engine.client.pool import Pool
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.engine.queue.keys import JOB, RESULT
from jobs.engine.queue.serializer import is_pickle

_SCAN: Final = 1000


class PickleCounts(NamedTuple):
    """Pickles in Redis.

    Attributes:
        jobs: Jobs that wait or run.
        results: Kept results.
        dead_letters: Jobs that failed permanently.
    """

    jobs: int
    results: int
    dead_letters: int


async def count_pickles(pool: ArqRedis) -> PickleCounts:
    """Count what a worker or a producer that reads only JSON would refuse.

    The pickles are not loaded.

    Args:
        pool: Pool of the Redis to search. A `Pool` searches all of its servers.

    Returns:
        The counts. They may miss what is added during the search.
    """
    jobs = results = dead_letters = 0
    for redis in pool.everywhere() if isinstance(pool, Pool) else [pool]:
        jobs += await _count(redis, JOB)
        results += await _count(redis, RESULT)
        async for letter in DeadLetterStore(redis).walk():
            dead_letters += is_pickle(letter.payload)
    return PickleCounts(jobs, results, dead_letters)


async def _count(redis: ArqRedis, prefix: str) -> int:
    """Return the number of pickles under the keys with a prefix, by their first bytes."""
    keys: set[bytes] = set()  # Redis may return a key twice
    async for key in redis.scan_iter(match=f"{prefix}*", count=_SCAN):
        keys.add(key)
    found, names = 0, list(keys)
    for start in range(0, len(names), _SCAN):
        async with redis.pipeline(transaction=False) as pipe:
            for key in names[start : start + _SCAN]:
                pipe.getrange(key, 0, 0)
            found += sum(map(is_pickle, await pipe.execute()))
    return found
