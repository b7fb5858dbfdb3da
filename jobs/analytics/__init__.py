"""Analytics: calls rolled up into buckets, and the reports that are made of them."""

from jobs.analytics.report import report_campaign, report_campaigns, report_day
from jobs.analytics.rollup import rollup_calls
from jobs.context import DomainSettings
from jobs.engine import cron


class WorkerSettings(DomainSettings):
    """`arq jobs.analytics.WorkerSettings`"""

    queue_name = "analytics_tasks"
    functions = [rollup_calls, report_campaign, report_campaigns, report_day]
    cron_jobs = [
        cron("analytics.rollup", minute=set(range(0, 60, 5)), alone=True),
        cron("analytics.report_day", timezone="UTC", hour=0, minute=0),
        cron("analytics.report_campaigns", timezone="UTC", hour=1, minute=0),
    ]
