"""Campaigns: who is called next, at what pace, and when a campaign is over."""

from jobs.campaign.schedule_calls import schedule_calls, tick
from jobs.campaign.status import check_completion, set_status
from jobs.context import DomainSettings
from jobs.engine import cron


class WorkerSettings(DomainSettings):
    """`arq jobs.campaign.WorkerSettings`"""

    queue_name = "campaign_tasks"
    functions = [tick, schedule_calls, set_status, check_completion]
    cron_jobs = [cron("campaign.tick", second=0, alone=True)]
