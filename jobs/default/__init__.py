"""Default queue: upkeep of the other queues, and a job that shows whether a worker responds.

- `housekeeping`: `default.relay_outbox` publishes follow-ups left in the outbox;
  `default.housekeeping` discards old dead letters
- `ping`: `default.ping` returns "pong"
- `scripted`: `default.scripted` plays a script; only workers with `ScriptedSettings` serve it

Schedules: relay every 15 seconds, housekeeping daily at 03:30, both in real time.
"""

from typing import Any

from jobs.context import DomainSettings, open_context
from jobs.default.housekeeping import purge_dead_letters, relay_outbox
from jobs.default.ping import ping
from jobs.engine import cron


async def open_and_relay(ctx: dict[Any, Any]) -> None:
    """Open the job context, and relay what other processes leave in the outbox.

    Args:
        ctx: Context of the worker; see `open_context`.
    """
    await open_context(ctx)
    ctx["store"].keep_relaying()


class WorkerSettings(DomainSettings):
    """Settings of the default queue: `arq jobs.default.WorkerSettings`."""

    queue_name = "default"
    functions = [ping, relay_outbox, purge_dead_letters]
    cron_jobs = [
        cron("default.relay_outbox", second={0, 15, 30, 45}, real_time=True),
        cron("default.housekeeping", hour=3, minute=30, real_time=True),
    ]
    on_startup = staticmethod(open_and_relay)
