"""Whatever is done to both stores, they give the same answers."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4, uuid5

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.errors import JobError
from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.numbers import Tag
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CallStatus, EnrolmentStatus, LeadStatus
from jobs.store.memory import MemoryStore
from jobs.store.model import Enrolment, EventKind, LeadFilter, NewCall, NewEvent, NewLead
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store, Work
from tests.contract.given import EASTERN, MINUTE, NOON, number

Answer = object
Act = Callable[[Work, "Names"], Awaitable[Answer]]


class Names:
    """One run's campaign in one store; its rows are named by numbers, the same in both."""

    def __init__(self, tenant: UUID) -> None:
        self.tenant = str(tenant)
        self.campaign_id = tenant
        self._namespace = tenant

    def call_id(self, n: int) -> UUID:
        return uuid5(self._namespace, str(n))

    def provider_id(self, n: int) -> str:
        return f"{self.tenant}-{n}"

    async def lead_id(self, work: Work, n: int) -> UUID:
        lead = await work.leads.find(self.tenant, number(n))
        return lead.id if lead else self._namespace

    async def enrolment(self, work: Work, n: int) -> Enrolment | None:
        found = await work.campaigns.enrolments_of(await self.lead_id(work, n))
        return found[0] if found else None


few = st.integers(0, 3)
moments = st.sampled_from([NOON - MINUTE, NOON, NOON + 20 * MINUTE])


@st.composite
def lead_acts(draw: st.DrawFn) -> Act:
    n, text = draw(few), draw(st.sampled_from([None, "", "a", "b"]))
    score, status = draw(st.none() | st.integers(0, 100)), draw(st.sampled_from(LeadStatus))
    tags = [Tag(key, key.upper()) for key in draw(st.sets(st.sampled_from("xyz")))]

    async def add(work: Work, names: Names) -> Answer:
        attributes = {"job": text, "n": n}
        new = NewLead(number(n), names.tenant, timezone=EASTERN, state=text, attributes=attributes)
        return sorted(await work.leads.add([new], NOON))

    async def save(work: Work, names: Names) -> Answer:
        leads = await work.leads.get_many([await names.lead_id(work, n)], lock=True)
        await work.leads.save([replace(x, status=status, score=score, name=text) for x in leads])
        return None

    async def tag(work: Work, names: Names) -> Answer:
        return await work.leads.add_tags([await names.lead_id(work, n)], tags)

    async def untag(work: Work, names: Names) -> Answer:
        keys = [tag.key for tag in tags]
        return await work.leads.remove_tags([await names.lead_id(work, n)], keys)

    async def enrol(work: Work, names: Names) -> Answer:
        where = LeadFilter(names.tenant, tags=frozenset(tag.key for tag in tags[:1]))
        return await work.campaigns.enrol(names.campaign_id, where, NOON)

    return draw(st.sampled_from([add, add, save, tag, untag, enrol, enrol]))


@st.composite
def enrolment_acts(draw: st.DrawFn) -> Act:
    n, limit, at = draw(few), draw(st.integers(0, 3)), draw(st.none() | moments)
    status, old = (
        draw(st.sampled_from(EnrolmentStatus)),
        draw(st.sets(st.sampled_from(EnrolmentStatus))),
    )
    tries = draw(st.dictionaries(st.sampled_from(Disposition), st.integers(1, 3), max_size=2))

    async def save(work: Work, names: Names) -> Answer:
        row = await names.enrolment(work, n)
        if row is not None:
            row = replace(row, status=status, next_at=at, tries=tries, calls=limit)
            await work.campaigns.save_enrolments([row])
        return None

    async def due(work: Work, names: Names) -> Answer:
        rows = await work.campaigns.due(names.campaign_id, at or NOON, limit)
        return [lead.e164 for row in rows for lead in [await work.leads.get(row.lead_id)]]

    async def move(work: Work, names: Names) -> Answer:
        return await work.campaigns.move_enrolments(names.campaign_id, old, status)

    return draw(st.sampled_from([save, due, due, move]))


async def add_call(work: Work, names: Names, *, call: int, lead: int, at: datetime = NOON) -> None:
    row = await names.enrolment(work, lead)
    new = NewCall(
        names.call_id(call),
        names.tenant,
        names.campaign_id,
        row.id if row else names.campaign_id,
        await names.lead_id(work, lead),
        1 + call % 2,
        at,
        EASTERN,
    )
    await work.calls.add([new], NOON)


@st.composite
def call_acts(draw: st.DrawFn) -> Act:
    n, lead, at, stale = draw(few), draw(few), draw(moments), draw(st.sampled_from([0, 0, 0, 1]))
    changes = draw(
        st.fixed_dictionaries(
            {
                "status": st.sampled_from(CallStatus),
                "dialed_at": st.none() | moments,
                "ended_at": st.none() | moments,
                "answered_at": st.none() | moments,
                "processed_at": st.none() | moments,
                "duration": st.none() | st.integers(0, 99),
                "answered_by": st.none() | st.sampled_from(AnsweredBy),
                "outcome": st.none() | st.sampled_from(CallOutcome),
                "disposition": st.none() | st.sampled_from(Disposition),
                "price": st.none() | st.just(Decimal("0.25")),
            }
        )
    )
    provider = draw(st.none() | few)

    async def add(work: Work, names: Names) -> Answer:
        await add_call(work, names, call=n, lead=lead, at=at)
        return None

    async def save(work: Work, names: Names) -> Answer:
        calls = await work.calls.get_many([names.call_id(n)], lock=True)
        linked = None if provider is None else names.provider_id(provider)
        calls = [replace(call, provider_id=linked, **changes) for call in calls]
        await work.calls.save([replace(c, version=c.version - stale) for c in calls])
        return None

    return draw(st.sampled_from([add, add, save, save, save]))


@st.composite
def event_acts(draw: st.DrawFn) -> Act:
    keys = draw(st.lists(st.tuples(few, few, st.sampled_from(EventKind)), max_size=4))
    call, at = draw(st.none() | few), draw(moments)

    async def record(work: Work, names: Names) -> Answer:
        call_id = None if call is None else names.call_id(call)
        events = [
            NewEvent(names.provider_id(p), kind, n, call_id, {"n": n}, at) for p, n, kind in keys
        ]
        return await work.calls.record_events(events)

    async def link(work: Work, names: Names) -> Answer:
        links = {names.provider_id(p): names.call_id(n) for p, n, _ in keys}
        return await work.calls.link_events(links)

    async def apply(work: Work, names: Names) -> Answer:
        events = await work.calls.unapplied_events([names.call_id(n) for n, _, _ in keys])
        await work.calls.mark_applied([event.id for event in events[:2]], NOON)
        return [replace(event, id=0) for event in events]

    return draw(st.sampled_from([record, record, link, apply]))


async def roll_up(work: Work, names: Names) -> Answer:
    after = await work.analytics.cursor("rollup")
    keys, position = await work.analytics.touched_buckets(after, 0)
    await work.analytics.put(await work.analytics.compute(keys))
    await work.analytics.move_cursor("rollup", position)
    return None


acts = lead_acts() | lead_acts() | enrolment_acts() | call_acts() | call_acts() | event_acts()
acts |= st.just(roll_up)


async def answer(store: Store, names: Names, act: Act) -> Answer:
    try:
        async with store.begin() as work:
            return await act(work, names)
    except JobError as error:
        return type(error)


async def everything(work: Work, names: Names) -> Answer:
    """What can be seen of the run, without the ids that each store makes itself."""
    ids = await work.leads.ids(LeadFilter(names.tenant))
    leads = await work.leads.get_many(ids)
    calls = await work.calls.get_many([names.call_id(n) for n in range(4)])
    nobody = UUID(int=0)
    enrolments = [e for one in ids for e in await work.campaigns.enrolments_of(one)]
    overdue = await work.calls.overdue(scheduled_before=NOON, dialed_before=NOON, limit=1000)
    linked = await work.calls.by_provider_id([names.provider_id(n) for n in range(4)])
    window = timedelta(minutes=5)
    buckets = await work.analytics.buckets(names.campaign_id, None, NOON + window)
    breakdowns = [
        await work.analytics.breakdown(names.campaign_id, column)
        for column in ("job", "n", "state", "status")
    ]
    histories = await work.analytics.histories(names.campaign_id)
    return {
        "leads": [replace(lead, id=nobody) for lead in leads],
        "tags": list((await work.leads.tags(ids)).values()),
        "enrolments": [
            replace(row, id=nobody, lead_id=nobody, campaign_id=nobody) for row in enrolments
        ],
        "calls": [
            replace(call, enrolment_id=nobody, lead_id=nobody, campaign_id=nobody) for call in calls
        ],
        "dials": list((await work.calls.dials(names.tenant, ids, NOON)).values()),
        "in flight": await work.calls.in_flight(names.campaign_id),
        "ended": await work.calls.ended_since(names.campaign_id, NOON),
        "overdue": [call.id for call in overdue if call.tenant == names.tenant],
        "open": [[call.id for call in await work.calls.open_calls_of(one)] for one in ids],
        "linked": linked,
        "progress": await work.campaigns.progress(names.campaign_id),
        "totals": await work.analytics.totals(names.campaign_id),
        "columns": await work.analytics.columns(names.campaign_id),
        "breakdowns": breakdowns,
        "histories": sorted(histories, key=repr),
        "buckets": [replace(b, key=b.key._replace(campaign_id=nobody)) for b in buckets],
    }


@given(st.lists(acts, max_size=25))
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_memory_and_postgres_agree(
    memory: MemoryStore, postgres: PostgresStore, acts: list[Act]
) -> None:
    tenant = uuid4()
    runs: list[tuple[Store, Names]] = []
    for store in (memory, postgres):
        names = Names(tenant)
        async with store.begin() as work:
            await work.leads.add([NewLead(number(n), names.tenant) for n in range(2)], NOON)
            campaign = await work.campaigns.add(names.tenant, "twins", CampaignPolicy(), NOON)
            await work.campaigns.enrol(campaign.id, LeadFilter(names.tenant), NOON)
        names.campaign_id = campaign.id
        async with store.begin() as work:
            for n in range(2):
                await add_call(work, names, call=n, lead=n)
        runs.append((store, names))
    for act in [*acts, roll_up, everything]:
        first, second = [await answer(store, names, act) for store, names in runs]
        assert first == second
