"""Campaigns: calls to make next, calling pace, and completion.

- `schedule_calls`: `campaign.tick` schedules all running campaigns;
  `campaign.schedule_calls` schedules the due calls of one
- `status`: `campaign.set_status` starts, pauses, resumes or cancels a campaign;
  `campaign.check_completion` completes it

Schedule: one tick per minute, in business time.
"""

from jobs.campaign.schedule_calls import schedule_calls, tick
from jobs.campaign.status import check_completion, set_status
from jobs.context import DomainSettings
from jobs.engine import cron


class WorkerSettings(DomainSettings):
    """Settings of the campaign queue: `arq jobs.campaign.WorkerSettings`."""

    queue_name = "campaign_tasks"
    functions = [tick, schedule_calls, set_status, check_completion]
    cron_jobs = [cron("campaign.tick", second=0, alone=True)]
