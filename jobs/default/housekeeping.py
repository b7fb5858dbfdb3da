"""What keeps the other queues going: the outbox relay, and retention."""

from datetime import timedelta
from typing import Final

import structlog

from jobs.context import JobContext
from jobs.engine import DeadLetterStore, job, retry

UNPUBLISHED_FOR: Final = timedelta(seconds=5)
"""Real time after which nobody is about to publish a row of the outbox any more."""

log = structlog.get_logger(__name__)


@job("default.relay_outbox", timeout=300)
@retry()
async def relay_outbox(ctx: JobContext) -> int:
    """Publishes the follow-ups whose process died between its commit and its publishing; answers
    how many."""
    published = 0
    while count := await ctx["store"].relay(UNPUBLISHED_FOR):
        published += count
    if published:
        log.info("outbox_relayed", jobs=published)
    return published


@job("default.housekeeping", timeout=300)
@retry()
async def keep_house(ctx: JobContext) -> int:
    """Discards dead letters that are older than TASK_DEAD_LETTER_DAYS; answers how many."""
    kept = timedelta(days=ctx["settings"].task_dead_letter_days)
    purged = sum([await DeadLetterStore(one).purge(kept) for one in ctx["redis"].everywhere()])
    if purged:
        log.info("dead_letters_purged", letters=purged)
    return purged
