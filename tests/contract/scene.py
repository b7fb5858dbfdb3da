"""Rows that all jobs meet at: three leads in four campaigns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from jobs.analytics.report import BACKFILL_DAYS
from jobs.campaign.status import with_status
from jobs.rules.dispositions import AnsweredBy, CallOutcome
from jobs.rules.numbers import Tag
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CallStatus, CampaignStatus, EnrolmentStatus
from jobs.store.model import Call, Campaign, Enrolment, EventKind, LeadFilter, NewCall, NewEvent
from jobs.store.protocol import Store, Work
from jobs.testing.context import NOON
from jobs.voice.protocol import ProviderEvent
from tests.contract.given import new_leads, number

MINUTE: Final = timedelta(minutes=1)
LEADS: Final = 3
FIRST_NUMBER: Final = 3
"""The number of the first lead; the file of leads has all numbers from 0."""
URL: Final = "https://example.org/1"
REVERSED: Final = {
    "leads": ("id", "version"),
    "lead_tags": ("lead_id", "name"),
    "enrolments": ("id", "version"),
    "calls": ("id", "version"),
    "call_events": ("id", "sequence"),
    "metric_buckets": ("campaign_id", "seconds"),
    "outbox": ("id", "function"),
}
"""Tables whose rows lie in descending order on disk, with their key and any other column."""


def provider_id(call_id: UUID) -> str:
    return f"CA{call_id.hex}"


def recording_id(call_id: UUID) -> str:
    return f"RE{call_id.hex}"


def call_id(campaign: int, lead: int) -> UUID:
    """The id of a lead's call in a campaign: the first lead's call has the greatest."""
    return UUID(int=(campaign << 64) + LEADS - lead)


@dataclass(frozen=True)
class Scene:
    """Three leads in four campaigns, each of which is at another point of its calls.

    Attributes:
        leads: The leads' ids.
        scheduled: A campaign whose calls are to be dialed; the last lead is suppressed.
        dialed: A campaign whose calls have events to be applied, two recordings' among them.
        ended: A campaign whose first two calls ended with a do-not-call request.
        mixed: A campaign with two enrollments that are due, and one call that ended.
        draft: A campaign without enrollments.
        enrollments: The enrollments of each campaign, by the order of the leads.
        to_dial: The calls of `scheduled`.
        to_apply: The calls of `dialed`.
        to_process: The calls that ended.
        callbacks: New events of `to_apply`.
        files: A file with these leads and others, and the same in reverse order.
    """

    leads: Sequence[UUID]
    scheduled: Campaign
    dialed: Campaign
    ended: Campaign
    mixed: Campaign
    draft: Campaign
    enrollments: Mapping[UUID, Sequence[Enrolment]]
    to_dial: Sequence[UUID]
    to_apply: Sequence[UUID]
    to_process: Sequence[UUID]
    callbacks: Sequence[ProviderEvent]
    files: Sequence[Path]

    def reversed(self) -> "Scene":
        """Return the same scene, from which jobs get their arguments in reverse order."""
        names = ("leads", "to_dial", "to_apply", "to_process", "callbacks", "files")
        return replace(self, **{name: getattr(self, name)[::-1] for name in names})


async def set_up(store: Store, database_url: str, folder: Path) -> Scene:
    """Write the scene's rows, each table's in descending order of its key."""
    new = new_leads(FIRST_NUMBER + LEADS)[FIRST_NUMBER:]
    async with store.begin() as work:
        leads = tuple(sorted((await work.leads.add(new, NOON)).values()))
        await work.leads.add_tags(leads, [Tag("vip", "VIP"), Tag("warm", "Warm")])
        until = NOON + 9 * MINUTE
        await work.leads.suppress("default", new[-1].e164, reason="asked", now=NOON, until=until)
    scheduled, dialed, ended, mixed = campaigns = [
        await _campaign(store, name) for name in ("scheduled", "dialed", "ended", "mixed")
    ]
    async with store.begin() as work:
        for days in range(4, BACKFILL_DAYS):  # so that few reports are left to be made
            name = f"day:UTC:{(NOON - timedelta(days=1 + days)).date()}"
            await work.analytics.save_report(name, {}, NOON)
        draft = await work.campaigns.add("default", "draft", CampaignPolicy(), NOON)
        enrollments = {one.id: await _enrollments(work, one, leads) for one in campaigns}
    await _calls(store, campaigns, enrollments)
    to_dial, to_apply, refused = [[call_id(n, lead) for lead in range(LEADS)] for n in range(3)]
    await _events(store, to_dial, to_apply)
    scene = Scene(
        leads=leads,
        scheduled=scheduled,
        dialed=dialed,
        ended=ended,
        mixed=mixed,
        draft=draft,
        enrollments=enrollments,
        to_dial=to_dial,
        to_apply=to_apply,
        to_process=[*refused[:-1], call_id(3, LEADS - 1)],
        callbacks=[_callback(id_, sequence) for id_ in to_apply for sequence in (3, 4, 5)],
        files=[_file(folder, 1), _file(folder, -1)],
    )
    connection = await asyncpg.connect(database_url)
    await _outbox_and_buckets(connection, scene)
    await _reverse(connection)
    await connection.close()
    return scene


def _file(folder: Path, step: int) -> Path:
    path = folder / f"leads{step}.csv"
    rows = [f"{number(n)},vip\n" for n in range(9)]
    path.write_text("phone,tags\n" + "".join(rows[::step]))
    return path


def _callback(id_: UUID, sequence: int) -> ProviderEvent:
    kind, payload = EventKind.STATUS.value, {"status": "ringing"}
    return ProviderEvent(provider_id(id_), kind, sequence, id_, payload)


async def _campaign(store: Store, name: str) -> Campaign:
    async with store.begin() as work:
        campaign = await work.campaigns.add("default", name, CampaignPolicy(), NOON)
        await work.campaigns.save(with_status(campaign, CampaignStatus.RUNNING, NOON))
        await work.campaigns.enrol(campaign.id, LeadFilter(), NOON)
        return await work.campaigns.get(campaign.id)


async def _enrollments(work: Work, campaign: Campaign, leads: Sequence[UUID]) -> list[Enrolment]:
    found = {one.lead_id: one for one in await work.campaigns.due(campaign.id, NOON, LEADS)}
    return [found[lead] for lead in leads]


async def _calls(
    store: Store, campaigns: Sequence[Campaign], enrollments: Mapping[UUID, Sequence[Enrolment]]
) -> None:
    """Add a call for each enrollment, but for two of the last campaign, which are still due."""
    new = [
        NewCall(
            call_id(campaign, lead), "default", row.campaign_id, row.id, row.lead_id, 1, NOON, "UTC"
        )
        for campaign, one in enumerate(campaigns)
        for lead, row in enumerate(enrollments[one.id])
        if campaign < len(campaigns) - 1 or lead == LEADS - 1
    ]
    async with store.begin() as work:
        await work.calls.add(new, NOON)
        calls = {call.id: call for call in await work.calls.get_many([one.id for one in new])}
        changed = [
            *(_taken(calls[call_id(1, lead)], CallStatus.QUEUED) for lead in range(LEADS)),
            *(_refusing(calls[call_id(2, lead)]) for lead in range(LEADS)),
            replace(_taken(calls[call_id(3, LEADS - 1)], CallStatus.NO_ANSWER), ended_at=NOON),
        ]
        await work.calls.save(changed)
        called = {one.enrolment_id for one in new}
        await work.campaigns.save_enrolments(
            [
                replace(row, status=EnrolmentStatus.CALLING, calls=1)
                for rows in enrollments.values()
                for row in rows
                if row.id in called
            ]
        )


def _taken(call: Call, status: CallStatus) -> Call:
    return replace(
        call, status=status, dialed_at=NOON, requests=1, provider_id=provider_id(call.id)
    )


def _refusing(call: Call) -> Call:
    return replace(
        _taken(call, CallStatus.COMPLETED),
        answered_at=NOON,
        ended_at=NOON + MINUTE,
        answered_by=AnsweredBy.HUMAN,
        outcome=CallOutcome.DO_NOT_CALL,
    )


async def _events(store: Store, to_dial: Sequence[UUID], to_apply: Sequence[UUID]) -> None:
    """Store events; those with the greater sequence come first.

    The events of calls to be dialed do not name their call: they outran the provider's answer.
    """
    for sequence, status in ((3, "completed"), (2, "in-progress")):
        async with store.begin() as work:
            await work.calls.record_events(
                [
                    *(_recording(id_, sequence, status) for id_ in to_apply),
                    *(_status(id_, sequence, status, call=id_) for id_ in to_apply),
                    *(_status(id_, sequence, status, call=None) for id_ in to_dial),
                ]
            )


def _recording(id_: UUID, sequence: int, status: str) -> NewEvent:
    payload = {"status": status, "recording_id": recording_id(id_), "url": URL}
    return NewEvent(provider_id(id_), EventKind.RECORDING, sequence, id_, payload, NOON)


def _status(id_: UUID, sequence: int, status: str, *, call: UUID | None) -> NewEvent:
    return NewEvent(provider_id(id_), EventKind.STATUS, sequence, call, {"status": status}, NOON)


async def _outbox_and_buckets(
    connection: "asyncpg.Connection[asyncpg.Record]", scene: Scene
) -> None:
    for n, campaign in enumerate((scene.dialed, scene.ended, scene.mixed), 1):
        await connection.execute(
            "INSERT INTO outbox (id, function, args, kwargs, created_at) "
            "VALUES ($1, 'default.ping', '[]', '{}', now() - interval '1 hour')",
            UUID(int=n),
        )
        await connection.execute(
            "INSERT INTO metric_buckets VALUES ($1, $2, 'UTC', 0, 0, 0, 0, 0, 0, 0)",
            campaign.id,
            NOON,
        )


async def _reverse(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Move each table's rows, the greatest key first, to the end of the table."""
    for table, (key, column) in REVERSED.items():
        select = f"SELECT ctid, {key} FROM {table} ORDER BY"  # noqa: S608  # names of tables
        update = f"UPDATE {table} SET {column} = {column} WHERE ctid = $1"  # noqa: S608
        for row in await connection.fetch(f"{select} {key} DESC"):
            await connection.execute(update, row["ctid"])
        found = await connection.fetch(f"{select} ctid")
        keys = [row[key] for row in found]
        assert keys == sorted(keys, reverse=True), table
