"""Analytics: rollups of calls, and reports on them.

- `rollup`: `analytics.rollup` updates the 15-minute buckets
- `report`: `analytics.report`, `analytics.report_campaigns` and `analytics.report_day` store
  reports
- `model`: reports as data
- `invariants`: consistency checks of a report
- `grouping`: values of a column in a few groups
- `charts`: charts of a report
- `render`: a report as JSON, CSV and HTML files

Schedules: rollup every 5 minutes; daily report at 00:00 UTC, campaign reports at 01:00 UTC; all in
business time.
"""

from jobs.analytics.report import report_campaign, report_campaigns, report_day
from jobs.analytics.rollup import rollup_calls
from jobs.context import DomainSettings
from jobs.engine import cron


class WorkerSettings(DomainSettings):
    """Settings of the analytics queue: `arq jobs.analytics.WorkerSettings`."""

    queue_name = "analytics_tasks"
    functions = [rollup_calls, report_campaign, report_campaigns, report_day]
    cron_jobs = [
        cron("analytics.rollup", minute=set(range(0, 60, 5)), alone=True),
        cron("analytics.report_day", timezone="UTC", hour=0, minute=0),
        cron("analytics.report_campaigns", timezone="UTC", hour=1, minute=0),
    ]
