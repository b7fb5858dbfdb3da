"""Campaigns and their enrolments."""

from dataclasses import replace
from uuid import uuid4

import pytest

from jobs.errors import ConflictError, NotFoundError, StaleVersionError
from jobs.rules.dispositions import Disposition
from jobs.rules.pacing import Pacing
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CampaignStatus, EnrolmentStatus
from jobs.store.model import LeadFilter
from jobs.store.protocol import Store
from tests.contract.given import MINUTE, NOON, add_leads, enrolled, new_leads

S = EnrolmentStatus


async def test_a_campaign_and_its_policy_come_back(store: Store) -> None:
    policy = CampaignPolicy(pacing=Pacing(max_concurrent=7))
    async with store.begin() as work:
        campaign = await work.campaigns.add("default", "spring", policy, NOON)
        changed = replace(campaign, status=CampaignStatus.RUNNING, started_at=NOON + MINUTE)
        await work.campaigns.save(changed)
        other = await work.campaigns.add("acme", "spring", CampaignPolicy(), NOON)
    assert (campaign.status, campaign.policy, campaign.version) == (
        CampaignStatus.DRAFT,
        policy,
        1,
    )
    async with store.begin() as work:
        saved = await work.campaigns.get(campaign.id, lock=True)
        assert saved == replace(changed, version=2)
        assert saved == await work.campaigns.find("default", "spring")
        assert await work.campaigns.find("default", "autumn") is None
        assert await work.campaigns.with_status(CampaignStatus.RUNNING) == [saved]
        both = await work.campaigns.get_many([other.id, campaign.id, uuid4()])
        assert [one.id for one in both] == sorted([campaign.id, other.id])


async def test_what_a_campaign_cannot_do(store: Store) -> None:
    async with store.begin() as work:
        campaign = await work.campaigns.add("default", "spring", CampaignPolicy(), NOON)
        await work.campaigns.save(replace(campaign, status=CampaignStatus.CANCELED))
    with pytest.raises(ConflictError, match="spring"):
        async with store.begin() as work:
            await work.campaigns.add("default", "spring", CampaignPolicy(), NOON)
    with pytest.raises(StaleVersionError, match=str(campaign.id)):
        async with store.begin() as work:
            await work.campaigns.save(campaign)
    with pytest.raises(NotFoundError):
        async with store.begin() as work:
            await work.campaigns.get(uuid4())


async def test_enrolling_again_adds_only_who_is_new(store: Store) -> None:
    campaign, enrolments = await enrolled(store, new_leads(2))
    await add_leads(store, new_leads(3))
    async with store.begin() as work:
        assert await work.campaigns.enrol(campaign.id, LeadFilter(), NOON) == 1
        assert await work.campaigns.enrol(campaign.id, LeadFilter(), NOON) == 0
        assert await work.campaigns.progress(campaign.id) == {S.QUEUED: 3}
        assert await work.campaigns.progress(uuid4()) == {}
        first = enrolments[0]
        assert await work.campaigns.enrolments_of(first.lead_id) == [first]
        assert await work.campaigns.enrolments([first.id, uuid4()]) == [first]
    assert (first.status, first.attempts, first.calls, first.tries, first.next_at) == (
        S.QUEUED, 0, 0, {}, None
    )  # fmt: skip


async def test_saving_enrolments(store: Store) -> None:
    _, enrolments = await enrolled(store, new_leads(2))
    changed = [
        replace(
            enrolment,
            status=S.RETRY_WAIT,
            attempts=2,
            calls=3,
            tries={Disposition.BUSY: 2, Disposition.CARRIER_FAILURE: 1},
            next_at=NOON + MINUTE,
        )
        for enrolment in enrolments
    ]
    async with store.begin() as work:
        await work.campaigns.save_enrolments(changed)
        await work.campaigns.save_enrolments([])
    ids = [enrolment.id for enrolment in enrolments]
    async with store.begin() as work:
        saved = await work.campaigns.enrolments(ids, lock=True)
    assert saved == [replace(enrolment, version=2) for enrolment in changed]
    with pytest.raises(StaleVersionError):
        async with store.begin() as work:
            await work.campaigns.save_enrolments([saved[0], changed[1]])
    async with store.begin() as work:
        assert await work.campaigns.enrolments(ids) == saved


async def test_due_are_those_whose_moment_has_come_and_then_those_without_one(
    store: Store,
) -> None:
    campaign, all_of_them = await enrolled(store, new_leads(7))
    later, first, second, paused, calling, fresh, opens = all_of_them
    async with store.begin() as work:
        await work.campaigns.save_enrolments(
            [
                replace(later, status=S.RETRY_WAIT, next_at=NOON + 2 * MINUTE),
                replace(first, status=S.CALLBACK, next_at=NOON - MINUTE),
                replace(second, status=S.RETRY_WAIT, next_at=NOON),
                replace(paused, status=S.PAUSED, next_at=NOON - MINUTE),
                replace(calling, status=S.CALLING),
                replace(opens, next_at=NOON + MINUTE),
            ]
        )

    async def due(minutes: int, limit: int) -> list[object]:
        async with store.begin() as work:
            found = await work.campaigns.due(campaign.id, NOON + minutes * MINUTE, limit)
            return [enrolment.id for enrolment in found]

    assert await due(0, 10) == [first.id, second.id, fresh.id]
    assert await due(0, 2) == [first.id, second.id]
    assert await due(2, 10) == [first.id, second.id, opens.id, later.id, fresh.id]


async def test_moving_all_enrolments_of_a_campaign(store: Store) -> None:
    campaign, (queued, waiting, done) = await enrolled(store, new_leads(3))
    async with store.begin() as work:
        await work.campaigns.save_enrolments(
            [
                replace(waiting, status=S.RETRY_WAIT, next_at=NOON),
                replace(done, status=S.DONE),
            ]
        )
        moved = await work.campaigns.move_enrolments(
            campaign.id, {S.QUEUED, S.RETRY_WAIT}, S.REMOVED
        )
        after = await work.campaigns.enrolments([queued.id, waiting.id, done.id])
        nobody = await work.campaigns.move_enrolments(uuid4(), {S.DONE}, S.QUEUED)
    assert (moved, nobody) == (2, 0)
    assert [(e.status, e.next_at, e.version) for e in after] == [
        (S.REMOVED, None, 2),
        (S.REMOVED, None, 3),
        (S.DONE, None, 2),
    ]


async def test_a_pause_keeps_the_moment_of_the_next_call(store: Store) -> None:
    campaign, (enrolment,) = await enrolled(store, new_leads(1))
    async with store.begin() as work:
        waiting = replace(enrolment, status=S.RETRY_WAIT, next_at=NOON + MINUTE)
        await work.campaigns.save_enrolments([waiting])
        await work.campaigns.move_enrolments(campaign.id, [S.RETRY_WAIT], S.PAUSED)
        await work.campaigns.move_enrolments(campaign.id, [S.PAUSED], S.QUEUED)
        assert await work.campaigns.due(campaign.id, NOON, 1) == []
        (resumed,) = await work.campaigns.due(campaign.id, NOON + MINUTE, 1)
    assert (resumed.status, resumed.next_at) == (S.QUEUED, NOON + MINUTE)
