"""Leads: imported, updated, qualified and tagged."""

from jobs.context import DomainSettings
from jobs.engine import cron
from jobs.lead.batch import batch_leads
from jobs.lead.importing import import_file
from jobs.lead.process_lead import update_lead
from jobs.lead.qualification import qualify_lead, qualify_pending
from jobs.lead.tags import add_tags, remove_tags


class WorkerSettings(DomainSettings):
    """`arq jobs.lead.WorkerSettings`"""

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
