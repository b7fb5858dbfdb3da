"""What the contract tests start from."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from jobs.engine.client.request import JobRequest
from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CallStatus
from jobs.store.model import (
    Call,
    Campaign,
    Enrolment,
    EventKind,
    LeadFilter,
    NewCall,
    NewEvent,
    NewLead,
)
from jobs.store.protocol import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EASTERN = "America/New_York"


def number(n: int) -> str:
    """The n-th fictional number."""
    return f"+1{201 + n // 100}55501{n % 100:02d}"


def new_leads(count: int, **columns: object) -> list[NewLead]:
    lead = NewLead(number(0), timezone=EASTERN, source="list")
    return [replace(lead, e164=number(n), **columns) for n in range(count)]  # type: ignore[arg-type]  # a test's columns


async def add_leads(store: Store, leads: Sequence[NewLead]) -> list[UUID]:
    async with store.begin() as work:
        return list((await work.leads.add(leads, NOON)).values())


async def enrolled(
    store: Store, leads: Sequence[NewLead], name: str = "spring"
) -> tuple[Campaign, list[Enrolment]]:
    """A campaign with these leads in it."""
    await add_leads(store, leads)
    async with store.begin() as work:
        campaign = await work.campaigns.add("default", name, CampaignPolicy(), NOON)
        await work.campaigns.enrol(campaign.id, LeadFilter(), NOON)
        return campaign, await work.campaigns.due(campaign.id, NOON, 1000)


def new_call(
    enrolment: Enrolment, call_number: int = 1, at: datetime = NOON, zone: str = ""
) -> NewCall:
    return NewCall(
        id=uuid4(),
        tenant="default",
        campaign_id=enrolment.campaign_id,
        enrolment_id=enrolment.id,
        lead_id=enrolment.lead_id,
        number=call_number,
        scheduled_for=at,
        zone=zone,
    )


async def add_calls(store: Store, calls: Sequence[NewCall]) -> list[Call]:
    async with store.begin() as work:
        await work.calls.add(calls, NOON)
        return await work.calls.get_many([call.id for call in calls])


async def save_calls(store: Store, *calls: Call) -> None:
    async with store.begin() as work:
        await work.calls.save(calls)


def placed(call: Call, at: datetime = NOON) -> Call:
    """The call after the provider has accepted it."""
    return replace(
        call, status=CallStatus.QUEUED, dialed_at=at, requests=1, provider_id=f"CA{call.id.hex}"
    )


def converted(call: Call, at: datetime = NOON, seconds: int = 30) -> Call:
    return replace(
        placed(call, at),
        status=CallStatus.COMPLETED,
        answered_at=at,
        ended_at=at + timedelta(seconds=seconds),
        duration=seconds,
        answered_by=AnsweredBy.HUMAN,
        outcome=CallOutcome.CONVERTED,
        disposition=Disposition.ANSWERED,
    )


def unanswered(call: Call, at: datetime = NOON) -> Call:
    return replace(
        placed(call, at),
        status=CallStatus.NO_ANSWER,
        ended_at=at + MINUTE,
        disposition=Disposition.NO_ANSWER,
    )


def new_event(
    provider_id: str,
    sequence: int,
    call_id: UUID | None = None,
    *,
    kind: EventKind = EventKind.STATUS,
    at: datetime = NOON,
) -> NewEvent:
    return NewEvent(provider_id, kind, sequence, call_id, {"status": "ringing"}, at)


@dataclass
class Queue:
    """Stands for Redis: what is published ends up in `jobs`; it can be made to fail, and to do
    something first."""

    def __post_init__(self) -> None:
        self.jobs: list[JobRequest] = []
        self.calls = 0
        self.failure: BaseException | None = None
        self.first: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, jobs: Sequence[JobRequest]) -> None:
        self.calls += 1
        if self.first is not None:
            await self.first()
        if self.failure is not None:
            raise self.failure
        self.jobs += jobs

    @property
    def functions(self) -> list[str]:
        return [job.function for job in self.jobs]
