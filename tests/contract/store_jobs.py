"""Every job and service call that touches the store, with arguments that lead it to the scene."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from jobs.analytics.report import report_campaign, report_campaigns, report_day
from jobs.analytics.rollup import rollup_calls
from jobs.call.dispatch import dispatch
from jobs.call.events import apply_event
from jobs.call.process_call import process_completed
from jobs.call.reconcile import reconcile
from jobs.call.recordings import ingest_recording
from jobs.campaign.schedule_calls import schedule_calls, tick
from jobs.campaign.status import check_completion, set_status
from jobs.context import JobContext
from jobs.inbox import receive
from jobs.lead.batch import batch_leads
from jobs.lead.importing import import_file
from jobs.lead.process_lead import update_lead
from jobs.lead.qualification import qualify_lead, qualify_pending
from jobs.lead.tags import add_tags, remove_tags
from jobs.rules.states import CallStatus
from jobs.store.model import LeadFilter
from jobs.testing.clock import FrozenClock
from jobs.testing.context import NOON
from jobs.testing.running import run_job
from jobs.voice.protocol import Accepted, Answer, CallRequest, CallState, Field
from tests.contract.concurrency import Job
from tests.contract.given import number
from tests.contract.scene import FIRST_NUMBER, MINUTE, URL, Scene, provider_id, recording_id


class Voice:
    """A provider that takes every call, and says of every call that it is completed."""

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        return {one.call_id: Accepted(provider_id(one.call_id)) for one in requests}

    async def lookup(self, call_ids: Sequence[UUID]) -> Mapping[UUID, CallState]:
        state: Mapping[str, Field] = {"status": CallStatus.COMPLETED.value, "duration": 5}
        return {id_: CallState(provider_id(id_), id_, state, 9) for id_ in call_ids}

    async def recording(self, url: str) -> AsyncIterator[bytes]:
        yield b"RIFF"

    async def close(self) -> None:
        """Nothing is open."""


def job(function: Callable[..., Any], *args: object, **kwargs: object) -> Job:
    """Return the job with these arguments, to be run as a worker runs it."""
    return lambda ctx: run_job(function, ctx, *args, **kwargs)


async def _relay(ctx: JobContext) -> None:
    # The job itself repeats this until no row is left, and here all rows stay.
    await ctx["store"].relay(MINUTE)


async def _report_next_day(ctx: JobContext) -> None:
    await run_job(report_day, {**ctx, "clock": FrozenClock(NOON + timedelta(days=1))})


def _ingest(scene: Scene) -> Job:
    call_id = scene.to_apply[1]
    return job(ingest_recording, call_id, recording_id(call_id), URL)


def _receive(scene: Scene) -> Job:
    return lambda ctx: receive(ctx["store"], ctx["clock"], scene.callbacks)


def _link(scene: Scene) -> Job:
    async def link(ctx: JobContext) -> None:
        async with ctx["store"].begin() as work:
            await work.calls.link_events({provider_id(id_): id_ for id_ in scene.to_dial})

    return link


def _save(scene: Scene) -> Job:
    async def save(ctx: JobContext) -> None:
        async with ctx["store"].begin() as work:
            leads = await work.leads.get_many(scene.leads)
            # The order of the scene's leads.
            await work.leads.save(sorted(leads, key=lambda lead: scene.leads.index(lead.id)))

    return save


def _enroll(scene: Scene) -> Job:
    async def enroll(ctx: JobContext) -> None:
        async with ctx["store"].begin() as work:
            await work.campaigns.enrol(scene.draft.id, LeadFilter(), NOON)

    return enroll


async def _suppress(ctx: JobContext) -> None:
    until = NOON + 99 * MINUTE
    async with ctx["store"].begin() as work:
        await work.leads.suppress(
            "default", number(FIRST_NUMBER), reason="asked", now=NOON, until=until
        )


JOBS: Final[Mapping[str, Callable[[Scene], Job]]] = {
    "lead.import": lambda scene: job(import_file, scene.files[0]),
    "lead.update, number": lambda scene: job(update_lead, scene.leads[1], {"number": number(1)}),
    "lead.update": lambda scene: job(update_lead, scene.leads, {"name": "Ann"}),
    "lead.qualify": lambda scene: job(qualify_lead, *scene.leads),
    "lead.qualify_pending": lambda scene: job(qualify_pending),
    "lead.add_tags": lambda scene: job(add_tags, scene.leads, ["new", "VIP", "also"]),
    "lead.remove_tags": lambda scene: job(remove_tags, scene.leads, ["warm", "vip"]),
    "lead.batch": lambda scene: job(batch_leads, "qualify", scene.leads),
    "call.dispatch": lambda scene: job(dispatch, *scene.to_dial),
    "call.apply_event": lambda scene: job(apply_event, *scene.to_apply),
    "call.process_completed": lambda scene: job(process_completed, *scene.to_process),
    "call.ingest_recording": _ingest,
    "call.reconcile": lambda scene: job(reconcile, *scene.to_apply),
    "call.reconcile, all": lambda scene: job(reconcile),
    "campaign.tick": lambda scene: job(tick),
    "campaign.schedule_calls": lambda scene: job(schedule_calls, scene.mixed.id),
    "campaign.check_completion": lambda scene: job(check_completion, scene.mixed.id),
    "campaign.set_status, scheduled": lambda scene: job(set_status, scene.scheduled.id, "cancel"),
    "campaign.set_status, ended": lambda scene: job(set_status, scene.ended.id, "cancel"),
    "campaign.set_status, mixed": lambda scene: job(set_status, scene.mixed.id, "cancel"),
    "analytics.rollup": lambda scene: job(rollup_calls),
    "analytics.report": lambda scene: job(report_campaign, scene.dialed.id),
    "analytics.report_campaigns": lambda scene: job(report_campaigns),
    "analytics.report_day": lambda scene: job(report_day),
    "analytics.report_day, next day": lambda scene: _report_next_day,
    "default.relay_outbox": lambda scene: _relay,
    "callbacks": _receive,
    "link events": _link,
    "save leads": _save,
    "enroll": _enroll,
    "suppress": lambda scene: _suppress,
}
"""Every job and service call that touches the store, with arguments that lead it to the scene."""
