"""Lead jobs as plain coroutines on the in-memory store."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from jobs.context import JobContext
from jobs.engine import JobRequest, find_job
from jobs.errors import ConflictError, NotFoundError, ValidationError
from jobs.lead import batch, qualification
from jobs.lead.batch import Operation, batch_leads
from jobs.lead.process_lead import LeadChanges, update_lead
from jobs.lead.qualification import qualify_lead, qualify_pending
from jobs.lead.tags import add_tags, remove_tags
from jobs.rules.numbers import Temperature
from jobs.rules.scoring import DEFAULT_RULES
from jobs.rules.states import LeadStatus
from jobs.settings import Settings
from jobs.store.memory import MemoryStore
from jobs.store.model import Lead, NewLead
from jobs.testing.clock import FrozenClock

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=400)
HOT = {"poutcome": "success", "consent": "yes", "demo_requested": "yes"}


class Desk:
    """Store with leads, and a job context."""

    def __init__(self) -> None:
        self.clock = FrozenClock(NOW)
        self.store = MemoryStore(clock=self.clock)
        self.ctx = cast(
            "JobContext",
            {"store": self.store, "clock": self.clock, "settings": Settings(_env_file=None)},
        )

    async def lead(self, **columns: Any) -> UUID:
        """Add a lead 400 days ago, so that it has no points for being new."""
        new = NewLead(**{"e164": "+12125550101", **columns})
        async with self.store.begin() as work:
            return (await work.leads.add([new], LONG_AGO))[new.e164]

    async def get(self, lead_id: UUID) -> Lead:
        async with self.store.begin() as work:
            return await work.leads.get(lead_id)

    async def put(self, lead_id: UUID, **columns: Any) -> None:
        async with self.store.begin() as work:
            lead = await work.leads.get(lead_id)
            await work.leads.save([replace(lead, **columns)])

    async def tags(self, lead_id: UUID) -> set[str]:
        async with self.store.begin() as work:
            return {tag.name for tag in (await work.leads.tags([lead_id]))[lead_id]}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def check_arguments(job: JobRequest) -> None:
    """Check that a follow-up's arguments match its job."""
    definition = find_job(job.function)
    assert definition is not None
    definition.check(job.args, job.kwargs)


# Updates


async def test_update_normalizes_and_merges_values(desk: Desk) -> None:
    lead_id = await desk.lead(name="Ann", state="NY", attributes={"job": "clerk", "age": 3})
    changes = LeadChanges(
        number="(212) 555-0102",
        email="Ann@Example.ORG",
        timezone="america/chicago",
        state=None,
        attributes={"age": None, "city": "Troy"},
    )
    await update_lead(desk.ctx, lead_id, changes)
    lead = await desk.get(lead_id)
    assert (lead.e164, lead.email) == ("+12125550102", "ann@example.org")
    assert (lead.timezone, lead.state, lead.name) == ("America/Chicago", None, "Ann")
    assert lead.attributes == {"job": "clerk", "city": "Troy"}
    assert lead.updated_at == NOW


@pytest.mark.parametrize(
    "changes", [{"number": "12"}, {"email": "nobody"}, {"timezone": "Mars/Olympus"}]
)
async def test_update_with_an_invalid_value_changes_nothing(
    desk: Desk, changes: Mapping[str, str]
) -> None:
    lead_id = await desk.lead()
    before = await desk.get(lead_id)
    with pytest.raises(ValidationError):
        await update_lead(desk.ctx, lead_id, LeadChanges.model_validate(changes))
    assert await desk.get(lead_id) == before


async def test_update_to_another_leads_number_is_a_conflict(desk: Desk) -> None:
    lead_id, other = await desk.lead(), await desk.lead(e164="+12125550102")
    with pytest.raises(ConflictError, match=str(other)) as caught:
        await update_lead(desk.ctx, lead_id, LeadChanges(number="+12125550102"))
    assert "+1212" not in str(caught.value)
    await update_lead(desk.ctx, other, LeadChanges(number="+12125550102"))


async def test_update_of_several_leads_cannot_set_a_number(desk: Desk) -> None:
    ids = [await desk.lead(), await desk.lead(e164="+12125550102")]
    with pytest.raises(ValidationError, match="one lead only"):
        await update_lead(desk.ctx, ids, LeadChanges(number="+12125550103"))
    await update_lead(desk.ctx, ids, LeadChanges(source="fair"))
    assert {(await desk.get(lead_id)).source for lead_id in ids} == {"fair"}


async def test_update_of_a_missing_lead_fails(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await update_lead(desk.ctx, uuid4(), LeadChanges(name="Ann"))


# Qualification


async def test_hot_lead_becomes_qualified_with_its_evidence(desk: Desk) -> None:
    lead_id = await desk.lead(attributes=HOT)
    await qualify_lead(desk.ctx, lead_id)
    lead = await desk.get(lead_id)
    assert (lead.status, lead.temperature) == (LeadStatus.QUALIFIED, Temperature.HOT)
    assert lead.score == sum(item.points for item in lead.evidence) == 85
    assert lead.ruleset_version == DEFAULT_RULES.version


async def test_cold_lead_becomes_unqualified_and_neutral_lead_stays_new(desk: Desk) -> None:
    cold = await desk.lead()
    neutral = await desk.lead(e164="+12125550102", attributes={"poutcome": "success"})
    await qualify_lead(desk.ctx, cold, neutral, uuid4())
    assert (await desk.get(cold)).status is LeadStatus.UNQUALIFIED
    lead = await desk.get(neutral)
    assert (lead.status, lead.temperature) == (LeadStatus.NEW, Temperature.NEUTRAL)


async def test_tags_add_to_the_score(desk: Desk) -> None:
    lead_id = await desk.lead(attributes={"poutcome": "success"})
    await add_tags(desk.ctx, lead_id, ["VIP"])
    await qualify_lead(desk.ctx, lead_id)
    assert (await desk.get(lead_id)).score == 65


@pytest.mark.parametrize("temperature", ["hot", "HOT", 1, "1"])
async def test_given_temperature_overrides_the_score(desk: Desk, temperature: object) -> None:
    lead_id = await desk.lead()
    definition = find_job("lead.qualify")
    assert definition is not None
    args, kwargs = definition.check([str(lead_id)], {"temperature": temperature})
    await qualify_lead(desk.ctx, *args, **kwargs)
    lead = await desk.get(lead_id)
    assert (lead.status, lead.temperature, lead.score) == (
        LeadStatus.QUALIFIED,
        Temperature.HOT,
        0,
    )
    assert lead.evidence[-1].rule == "told"


async def test_suppressed_lead_stays_cold_despite_a_given_temperature(desk: Desk) -> None:
    lead_id = await desk.lead(attributes=HOT)
    async with desk.store.begin() as work:
        await work.leads.suppress(
            "default", "+12125550101", reason="asked", now=NOW, until=NOW + timedelta(days=1)
        )
    await qualify_lead(desk.ctx, lead_id, temperature=Temperature.HOT)
    lead = await desk.get(lead_id)
    assert (lead.temperature, lead.score) == (Temperature.COLD, 0)
    assert lead.status is LeadStatus.UNQUALIFIED


@pytest.mark.parametrize(
    "status", [LeadStatus.QUALIFIED, LeadStatus.CONTACTED, LeadStatus.CONVERTED, LeadStatus.LOST]
)
async def test_score_keeps_the_status_of_a_contacted_lead(desk: Desk, status: LeadStatus) -> None:
    lead_id = await desk.lead()
    await desk.put(lead_id, status=status, last_contacted_at=NOW)
    await qualify_lead(desk.ctx, lead_id)
    lead = await desk.get(lead_id)
    assert (lead.status, lead.temperature) == (status, Temperature.COLD)


async def test_scoring_twice_changes_nothing(desk: Desk) -> None:
    lead_id = await desk.lead(attributes=HOT)
    await qualify_lead(desk.ctx, lead_id)
    before = await desk.get(lead_id)
    desk.clock.advance(timedelta(hours=1))
    await qualify_lead(desk.ctx, lead_id)
    assert await desk.get(lead_id) == before


async def test_unscored_leads_are_enqueued_until_they_are_scored(desk: Desk) -> None:
    ids = [await desk.lead(e164=f"+1212555{n:04}") for n in range(250)]
    assert await qualify_pending(desk.ctx) == 250
    assert [len(job.args) for job in desk.store.enqueued] == [100, 100, 50]
    for job in desk.store.enqueued:
        check_arguments(job)
        await qualify_lead(desk.ctx, *job.args)
    assert {lead_id for job in desk.store.enqueued for lead_id in job.args} == set(ids)
    assert await qualify_pending(desk.ctx) == 0


async def test_full_run_enqueues_another_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qualification, "MAX_LEADS_PER_RUN", 2)
    for n in range(3):
        await desk.lead(e164=f"+1212555{n:04}")
    await qualify_pending(desk.ctx)
    follow_up = desk.store.enqueued[-1]
    assert (follow_up.function, follow_up.args) == ("lead.qualify_pending", ())
    assert follow_up.defer_until == NOW + timedelta(minutes=1)


# Tags


async def test_tags_are_a_set_by_their_keys(desk: Desk) -> None:
    lead_id = await desk.lead()
    assert await add_tags(desk.ctx, lead_id, ["Spring  Fair", "spring fair", "VIP"]) == 2
    assert await add_tags(desk.ctx, [lead_id], ["vip"]) == 0
    assert await desk.tags(lead_id) == {"Spring Fair", "VIP"}
    assert await remove_tags(desk.ctx, lead_id, ["SPRING FAIR", "unknown"]) == 1
    assert await desk.tags(lead_id) == {"VIP"}


async def test_empty_tag_is_rejected(desk: Desk) -> None:
    with pytest.raises(ValidationError):
        await add_tags(desk.ctx, await desk.lead(), [" "])


# Batches


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (Operation.QUALIFY, {}),
        (Operation.QUALIFY, {"temperature": "hot"}),
        (Operation.ADD_TAGS, {"tags": ["a"]}),
        (Operation.REMOVE_TAGS, {"tags": ["a"]}),
        (Operation.UPDATE, {"changes": {"source": "fair"}}),
    ],
)
async def test_batch_becomes_jobs_for_all_of_its_leads(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    operation: Operation,
    arguments: dict[str, Any],
) -> None:
    monkeypatch.setattr(batch, "LEADS_PER_JOB", 2)
    ids = [uuid4() for _ in range(5)]
    assert await batch_leads(desk.ctx, operation, [*ids, ids[0]], **arguments) == 3
    for job in desk.store.enqueued:
        check_arguments(job)
        assert job.function == f"lead.{operation.value}"
        assert job.kwargs == arguments
    chunks = [
        job.args if operation is Operation.QUALIFY else job.args[0] for job in desk.store.enqueued
    ]
    assert [lead_id for chunk in chunks for lead_id in chunk] == ids


async def test_batch_with_invalid_arguments_enqueues_nothing(desk: Desk) -> None:
    for arguments in ({}, {"tags": 5}, {"tags": ["a"], "color": "red"}):
        with pytest.raises(ValidationError):
            await batch_leads(desk.ctx, Operation.ADD_TAGS, [uuid4()], **arguments)
    assert await batch_leads(desk.ctx, Operation.ADD_TAGS, [], tags=["a"]) == 0
    assert not desk.store.enqueued
