"""The default queue: what keeps the others going, and a job for trying a worker out."""

from jobs.context import DomainSettings
from jobs.default.housekeeping import keep_house, relay_outbox
from jobs.default.scripted import ping, run_script
from jobs.engine import cron


class WorkerSettings(DomainSettings):
    """`arq jobs.default.WorkerSettings`"""

    queue_name = "default"
    functions = [ping, run_script, relay_outbox, keep_house]
    cron_jobs = [
        cron("default.relay_outbox", second={0, 15, 30, 45}, real_time=True),
        cron("default.housekeeping", hour=3, minute=30, real_time=True),
    ]
