"""Calls: dialing, provider events, recordings, and the consequences of an ended call.

- `dispatch`: `call.dispatch` dials scheduled calls
- `guards`: the check right before dialing
- `events`: `call.apply_event` applies stored provider events to calls
- `process_call`: `call.process_completed` applies ended calls to enrollments and leads
- `recordings`: `call.ingest_recording` stores a recording
- `reconcile`: `call.reconcile` recovers lost callbacks, responses and jobs

Schedule: reconciliation every 20 seconds, in real time.
"""

from jobs.call.dispatch import dispatch
from jobs.call.events import apply_event
from jobs.call.process_call import process_completed
from jobs.call.reconcile import reconcile
from jobs.call.recordings import ingest_recording
from jobs.context import DomainSettings
from jobs.engine import cron


class WorkerSettings(DomainSettings):
    """Settings of the call queue: `arq jobs.call.WorkerSettings`."""

    queue_name = "call_tasks"
    functions = [dispatch, apply_event, process_completed, ingest_recording, reconcile]
    cron_jobs = [cron("call.reconcile", second={10, 30, 50}, real_time=True)]
