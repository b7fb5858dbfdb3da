"""Calls summed up by quarter of an hour. Every bucket is computed from the calls as they are, so
late, repeated and shuffled events end in the same figures."""

from typing import Final

from jobs.batches import batched
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.store.protocol import Store

CURSOR: Final = "rollup"
OVERLAP: Final = 100
"""Change numbers that are looked at again, since looking twice changes nothing."""
BUCKETS_PER_TRANSACTION: Final = 500


@job("analytics.rollup", timeout=300, keep_result=0)
@retry()
async def rollup_calls(ctx: JobContext) -> int:
    """Computes anew the buckets of all calls that changed since last time; answers how many."""
    return await roll_up(ctx["store"])


async def roll_up(store: Store) -> int:
    """Brings the buckets up to date; answers how many were computed."""
    async with store.begin() as work:
        position = await work.analytics.cursor(CURSOR)
        touched, newest = await work.analytics.touched_buckets(position, OVERLAP)
    for keys in batched(sorted(touched), BUCKETS_PER_TRANSACTION):
        async with store.begin() as work:
            # Writing the cursor's row holds it until the commit, so that roll-ups take turns and
            # an older sum never replaces a newer one.
            await work.analytics.move_cursor(CURSOR, position)
            await work.analytics.put(await work.analytics.compute(keys))
    async with store.begin() as work:
        await work.analytics.move_cursor(CURSOR, newest)
    return len(touched)
