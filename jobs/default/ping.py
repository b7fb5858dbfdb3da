"""Job that returns at once, to see whether a worker responds."""

from jobs.context import JobContext
from jobs.engine import job, retry


@job("default.ping", timeout=5)
@retry()
async def ping(ctx: JobContext) -> str:
    """Return "pong"."""
    return "pong"
