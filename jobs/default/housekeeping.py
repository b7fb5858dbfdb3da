"""Upkeep: the outbox relay, and retention of dead letters."""

from datetime import timedelta
from typing import Final

import structlog

from jobs.context import JobContext
from jobs.engine import DeadLetterStore, job, retry

UNPUBLISHED_FOR: Final = timedelta(seconds=5)
"""Real time after which the process that wrote an outbox row no longer publishes it."""

log = structlog.get_logger(__name__)


@job("default.relay_outbox", timeout=300)
@retry()
async def relay_outbox(ctx: JobContext) -> int:
    """Publish the follow-up jobs of processes that died between commit and publication.

    Returns:
        Count of published jobs.
    """
    published = 0
    while count := await ctx["store"].relay(UNPUBLISHED_FOR):
        published += count
    if published:
        log.info("outbox_relayed", jobs=published)
    return published


@job("default.housekeeping", timeout=300)
@retry()
async def purge_dead_letters(ctx: JobContext) -> int:
    """Discard dead letters older than TASK_DEAD_LETTER_DAYS, on every Redis server.

    Returns:
        Count of discarded dead letters.
    """
    retention = timedelta(days=ctx["settings"].task_dead_letter_days)
    purged = sum(
        [await DeadLetterStore(pool).purge(retention) for pool in ctx["redis"].everywhere()]
    )
    if purged:
        log.info("dead_letters_purged", letters=purged)
    return purged


keep_house = purge_dead_letters
