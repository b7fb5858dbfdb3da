"""Calls: dialling, the provider's events, recordings, and what follows from a call's end."""

from jobs.call.dispatch import dispatch
from jobs.call.events import apply_event
from jobs.call.process_call import process_completed
from jobs.call.reconcile import reconcile
from jobs.call.recordings import ingest_recording
from jobs.context import DomainSettings
from jobs.engine import cron


class WorkerSettings(DomainSettings):
    """`arq jobs.call.WorkerSettings`"""

    queue_name = "call_tasks"
    functions = [dispatch, apply_event, process_completed, ingest_recording, reconcile]
    cron_jobs = [cron("call.reconcile", second={10, 30, 50}, real_time=True)]
