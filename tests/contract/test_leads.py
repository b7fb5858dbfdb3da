"""Leads, tags and suppressed numbers."""

from dataclasses import replace
from uuid import uuid4

import pytest

from jobs.errors import ConflictError, NotFoundError, StaleVersionError
from jobs.rules.numbers import Tag, Temperature
from jobs.rules.states import LeadStatus
from jobs.store.model import LeadFilter, NewLead
from jobs.store.protocol import Store
from tests.contract.given import MINUTE, NOON, add_leads, new_leads, number

VIP = Tag("vip", "VIP")
WARM = Tag("warm", "Warm")


async def test_a_lead_comes_back_as_it_was_added(store: Store) -> None:
    new = NewLead(
        number(1),
        tenant="acme",
        name="Zoë O'Neil",
        email="zoe@example.org",
        timezone="Europe/Paris",
        state="NY",
        postal_code="10001",
        source="list",
        attributes={"job": "clerk", "age": 41, "rate": 0.5, "owner": True, "loan": None},
    )
    async with store.begin() as work:
        added = await work.leads.add([new], NOON)
    async with store.begin() as work:
        lead = await work.leads.get(added[number(1)])
        assert lead == await work.leads.find("acme", number(1))
        assert await work.leads.find("default", number(1)) is None
    assert (lead.name, lead.email, lead.timezone) == (new.name, new.email, new.timezone)
    assert (lead.state, lead.postal_code, lead.source) == (new.state, new.postal_code, new.source)
    assert lead.attributes == new.attributes
    assert (lead.status, lead.score, lead.evidence, lead.version) == (LeadStatus.NEW, None, (), 1)
    assert lead.created_at == lead.updated_at == NOON


async def test_adding_leads_again_changes_nothing(store: Store) -> None:
    first = await add_leads(store, new_leads(3))
    async with store.begin() as work:
        again = await work.leads.add([*new_leads(4, name="Someone"), *new_leads(4)], NOON)
        elsewhere = await work.leads.add(new_leads(2, tenant="acme"), NOON)
        leads = await work.leads.get_many(first)
    assert list(again) == [number(3)]
    assert sorted(elsewhere) == [number(0), number(1)]
    assert [lead.name for lead in leads] == [None] * 3


async def test_missing_leads(store: Store) -> None:
    nobody = uuid4()
    async with store.begin() as work:
        assert await work.leads.get_many([nobody]) == []
        assert await work.leads.get_many([]) == []
        with pytest.raises(NotFoundError, match=str(nobody)):
            await work.leads.get(nobody)


async def test_many_leads_come_in_the_order_of_their_ids(store: Store) -> None:
    ids = await add_leads(store, new_leads(5))
    async with store.begin() as work:
        leads = await work.leads.get_many([ids[3], ids[0], ids[3]], lock=True)
    assert [lead.id for lead in leads] == sorted([ids[0], ids[3]])


async def test_saving_writes_every_column_and_raises_the_version(store: Store) -> None:
    (lead_id,) = await add_leads(store, new_leads(1))
    async with store.begin() as work:
        lead = await work.leads.get(lead_id)
        changed = replace(
            lead,
            e164=number(9),
            name="Ann",
            email="ann@example.org",
            timezone=None,
            state="CA",
            postal_code="94016",
            source=None,
            attributes={"job": "nurse"},
            status=LeadStatus.QUALIFIED,
            score=71,
            temperature=Temperature.HOT,
            ruleset_version="1",
            updated_at=NOON + MINUTE,
            last_contacted_at=NOON + MINUTE,
        )
        await work.leads.save([changed])
    async with store.begin() as work:
        assert await work.leads.get(lead_id) == replace(changed, version=2)
        assert await work.leads.find("default", number(0)) is None


async def test_an_outdated_lead_cannot_be_saved(store: Store) -> None:
    ids = await add_leads(store, new_leads(2))
    async with store.begin() as work:
        leads = await work.leads.get_many(ids)
        await work.leads.save(leads[:1])
    with pytest.raises(StaleVersionError, match=str(ids[0])):
        async with store.begin() as work:
            await work.leads.save([replace(lead, name="Lost") for lead in leads])
    async with store.begin() as work:
        assert [lead.name for lead in await work.leads.get_many(ids)] == [None, None]


async def test_a_number_cannot_be_given_to_two_leads(store: Store) -> None:
    ids = await add_leads(store, new_leads(2))
    async with store.begin() as work:
        lead = await work.leads.get(ids[0])
    with pytest.raises(ConflictError) as error:
        async with store.begin() as work:
            await work.leads.save([replace(lead, e164=number(1))])
    assert number(1) not in str(error.value)


async def test_leads_are_found_by_tags_temperature_and_source(store: Store) -> None:
    a, b, c = await add_leads(store, new_leads(3))
    await add_leads(store, new_leads(1, tenant="acme"))
    async with store.begin() as work:
        await work.leads.add_tags([a, b], [VIP])
        await work.leads.add_tags([b, c], [WARM])
        lead = await work.leads.get(b)
        await work.leads.save([replace(lead, temperature=Temperature.HOT, source="fair")])

        async def found(**where: object) -> list[object]:
            return list(await work.leads.ids(LeadFilter(**where)))  # type: ignore[arg-type]  # short

        assert await found() == sorted([a, b, c])
        assert await found(tags=frozenset({"vip"})) == [a, b]
        assert await found(tags=frozenset({"vip", "warm"})) == [b]
        assert await found(tags=frozenset({"none"})) == []
        assert await found(temperatures=frozenset({Temperature.HOT, Temperature.COLD})) == [b]
        assert await found(source="list", tags=frozenset({"warm"})) == [c]
        assert await found(tenant="nobody") == []


async def test_tags_are_a_set_that_keeps_its_first_names(store: Store) -> None:
    ids = await add_leads(store, new_leads(2))
    async with store.begin() as work:
        assert await work.leads.add_tags(ids[:1], [VIP]) == 1
        assert await work.leads.add_tags(ids, [Tag("vip", "Vip!"), WARM]) == 3
        assert await work.leads.remove_tags(ids, ["warm", "none"]) == 2
        assert await work.leads.tags(ids) == {ids[0]: {VIP}, ids[1]: {Tag("vip", "Vip!")}}
        assert await work.leads.remove_tags(ids, []) == 0
    with pytest.raises(ConflictError):
        async with store.begin() as work:
            await work.leads.add_tags([uuid4()], [VIP])


async def test_what_is_to_be_qualified(store: Store) -> None:
    ids = await add_leads(store, new_leads(4))
    async with store.begin() as work:
        scored, lost, old, _ = await work.leads.get_many(ids)
        await work.leads.save(
            [
                replace(scored, ruleset_version="2", status=LeadStatus.QUALIFIED),
                replace(lost, status=LeadStatus.LOST),
                replace(old, ruleset_version="1", status=LeadStatus.UNQUALIFIED),
            ]
        )
        assert await work.leads.pending_qualification("2", 10) == ids[2:]
        assert await work.leads.pending_qualification("2", 1) == [ids[2]]


async def test_the_later_suppression_wins(store: Store) -> None:
    async def suppress(minutes: int) -> None:
        async with store.begin() as work:
            await work.leads.suppress(
                "default", number(1), reason="asked", now=NOON, until=NOON + minutes * MINUTE
            )

    async def suppressed(minutes: int) -> set[str]:
        async with store.begin() as work:
            numbers = [number(1), number(2)]
            return await work.leads.suppressed("default", numbers, NOON + minutes * MINUTE)

    assert await suppressed(0) == set()
    await suppress(5)
    await suppress(2)
    assert (await suppressed(4), await suppressed(5)) == ({number(1)}, set())
    await suppress(9)
    assert await suppressed(8) == {number(1)}
    async with store.begin() as work:
        assert await work.leads.suppressed("acme", [number(1)], NOON) == set()
