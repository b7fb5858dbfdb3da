"""The default queue: what keeps the others going, and a job for trying a worker out."""

from typing import Any

from jobs.context import DomainSettings, open_context
from jobs.default.housekeeping import keep_house, relay_outbox
from jobs.default.scripted import ping, run_script
from jobs.engine import cron


async def open_and_relay(ctx: dict[Any, Any]) -> None:
    """Opens the context, and has the store look for what other processes leave in the outbox."""
    await open_context(ctx)
    ctx["store"].keep_relaying()


class WorkerSettings(DomainSettings):
    """`arq jobs.default.WorkerSettings`"""

    queue_name = "default"
    functions = [ping, run_script, relay_outbox, keep_house]
    cron_jobs = [
        cron("default.relay_outbox", second={0, 15, 30, 45}, real_time=True),
        cron("default.housekeeping", hour=3, minute=30, real_time=True),
    ]
    on_startup = staticmethod(open_and_relay)
