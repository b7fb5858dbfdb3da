"""Rollup: sums of calls in 15-minute buckets.

Each bucket is recomputed from the current calls, so late, repeated and shuffled events give the
same figures.
"""

from typing import Final

from jobs.batches import batched
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.store.protocol import Store

CURSOR: Final = "rollup"
"""Name of the stored cursor: the change number up to which calls are rolled up."""
OVERLAP: Final = 100
"""Change numbers before the cursor that each run reads again; reading twice is harmless."""
BUCKETS_PER_TRANSACTION: Final = 500


@job("analytics.rollup", timeout=300, keep_result=0)
@retry()
async def rollup_calls(ctx: JobContext) -> int:
    """Recompute the buckets of all calls that changed since the last rollup.

    Returns:
        Count of recomputed buckets.
    """
    return await roll_up(ctx["store"])


async def roll_up(store: Store) -> int:
    """Bring the buckets up to date.

    Args:
        store: Store of the calls and buckets.

    Returns:
        Count of recomputed buckets.
    """
    async with store.begin() as work:
        position = await work.analytics.cursor(CURSOR)
        touched, newest = await work.analytics.touched_buckets(position, OVERLAP)
    for keys in batched(sorted(touched), BUCKETS_PER_TRANSACTION):
        async with store.begin() as work:
            # The write locks the cursor's row until the commit: rollups take turns, and an older
            # sum never replaces a newer one.
            await work.analytics.move_cursor(CURSOR, position)
            await work.analytics.put(await work.analytics.compute(keys))
    async with store.begin() as work:
        await work.analytics.move_cursor(CURSOR, newest)
    return len(touched)
