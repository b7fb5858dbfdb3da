"""Effects of ended calls on the lead, on the in-memory store."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from jobs.call.process_call import process_completed
from jobs.context import JobContext
from jobs.rules.dispositions import AnsweredBy, CallOutcome
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CallStatus, LeadStatus
from jobs.store.memory import MemoryStore
from jobs.store.model import Lead, LeadFilter, NewCall, NewLead
from jobs.testing.clock import FrozenClock
from tests.unit.call.build import NOON


class Desk:
    """Store with one lead and its calls, each in a separate campaign."""

    def __init__(self) -> None:
        self.clock = FrozenClock(NOON)
        self.store = MemoryStore(clock=self.clock)
        self.ctx = cast("JobContext", {"store": self.store, "clock": self.clock})

    async def lead(self) -> Lead:
        async with self.store.begin() as work:
            lead = await work.leads.find("default", "+12125550101")
            if lead is None:
                await work.leads.add([NewLead("+12125550101")], NOON)
                lead = await work.leads.find("default", "+12125550101")
            assert lead is not None
            return lead

    async def call(self, **columns: Any) -> UUID:
        """Add an ended call to the lead, a day after the previous call."""
        call_id, lead = uuid4(), await self.lead()
        async with self.store.begin() as work:
            campaign = await work.campaigns.add("default", str(call_id), CampaignPolicy(), NOON)
            await work.campaigns.enrol(campaign.id, LeadFilter(), NOON)
            (enrollment,) = await work.campaigns.due(campaign.id, NOON, 1)
            new = NewCall(call_id, "default", campaign.id, enrollment.id, lead.id, 1, NOON)
            await work.calls.add([new], NOON)
            ended = {"status": CallStatus.COMPLETED, "ended_at": self.clock.advance(timedelta(1))}
            call = replace(await work.calls.get(call_id), **{**ended, **columns})
            await work.calls.save([call])
        return call_id

    async def answered(self, outcome: CallOutcome | None) -> UUID:
        return await self.call(answered_by=AnsweredBy.HUMAN, outcome=outcome)

    async def process(self, *call_ids: UUID) -> None:
        await process_completed(self.ctx, *call_ids)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (CallOutcome.CONVERTED, LeadStatus.CONVERTED),
        (CallOutcome.APPOINTMENT, LeadStatus.QUALIFIED),
        (CallOutcome.INTERESTED, LeadStatus.QUALIFIED),
        (CallOutcome.CALLBACK, LeadStatus.CONTACTED),
        (CallOutcome.NOT_INTERESTED, LeadStatus.LOST),
        (CallOutcome.DO_NOT_CALL, LeadStatus.DNC),
        (CallOutcome.OTHER, LeadStatus.CONTACTED),
        (None, LeadStatus.CONTACTED),
    ],
)
async def test_outcome_decides_the_lead_status(
    desk: Desk, outcome: CallOutcome | None, status: LeadStatus
) -> None:
    call_id = await desk.answered(outcome)
    await desk.process(call_id)
    lead = await desk.lead()
    assert (lead.status, lead.last_contacted_at) == (status, NOON + timedelta(days=1))
    desk.clock.advance(timedelta(hours=1))
    await desk.process(call_id)
    assert await desk.lead() == lead
    assert not desk.store.enqueued


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"status": CallStatus.BUSY}, LeadStatus.NEW),
        ({"answered_by": AnsweredBy.MACHINE_END_BEEP}, LeadStatus.NEW),
        ({"status": CallStatus.FAILED, "sip_code": 404}, LeadStatus.INVALID),
    ],
)
async def test_call_that_reached_nobody_is_not_a_contact(
    desk: Desk, columns: dict[str, Any], status: LeadStatus
) -> None:
    await desk.process(await desk.call(**columns))
    lead = await desk.lead()
    assert (lead.status, lead.last_contacted_at) == (status, None)


async def test_call_never_moves_a_lead_backward(desk: Desk) -> None:
    first = await desk.answered(CallOutcome.CALLBACK)
    second = await desk.answered(CallOutcome.INTERESTED)
    await desk.process(second)
    await desk.process(first)
    lead = await desk.lead()
    assert (lead.status, lead.last_contacted_at) == (LeadStatus.QUALIFIED, desk.clock.now())


async def test_calls_of_a_batch_apply_in_the_order_of_their_ends(desk: Desk) -> None:
    first = await desk.answered(CallOutcome.CALLBACK)
    second = await desk.answered(CallOutcome.NOT_INTERESTED)
    await desk.process(second, first, uuid4())
    assert (await desk.lead()).status is LeadStatus.LOST
