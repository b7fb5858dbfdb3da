"""Leads: import, updates, qualification and tags.

- `importing`: `lead.import` imports a CSV file
- `csvfile`: records of a CSV file, with line numbers
- `columns`: meaning of a file's columns; conversion of a row to a lead
- `process_lead`: `lead.update` changes columns of leads
- `qualification`: `lead.qualify` scores leads; `lead.qualify_pending` enqueues unscored leads
- `tags`: `lead.add_tags`, `lead.remove_tags`
- `batch`: `lead.batch` splits one operation on many leads into jobs
- `lead_ids`: lead ids as job arguments

Schedule: unscored leads are enqueued every 15 minutes, in business time.
"""

from jobs.context import DomainSettings
from jobs.engine import cron
from jobs.lead.batch import batch_leads
from jobs.lead.importing import import_file
from jobs.lead.process_lead import update_lead
from jobs.lead.qualification import qualify_lead, qualify_pending
from jobs.lead.tags import add_tags, remove_tags


class WorkerSettings(DomainSettings):
    """Settings of the lead queue: `arq jobs.lead.WorkerSettings`."""

    queue_name = "lead_tasks"
    functions = [
        import_file,
        update_lead,
        qualify_lead,
        qualify_pending,
        add_tags,
        remove_tags,
        batch_leads,
    ]
    cron_jobs = [cron("lead.qualify_pending", minute={0, 15, 30, 45}, alone=True)]
