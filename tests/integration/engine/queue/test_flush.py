"""Redis is flushed during a campaign: every lead still reaches the right state."""

from datetime import timedelta
from random import Random
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jobs.campaign.status import OPEN
from jobs.demo.invariants import unexplained
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CampaignStatus, LeadStatus
from jobs.store.model import NewLead
from jobs.voice.simulator.script import answered, failed, unanswered
from tests.integration.domains.flow import Flow, open_flow

PEOPLE = {
    "+12125550101": ([unanswered("busy", 486), answered(60, "converted")], LeadStatus.CONVERTED),
    "+12125550102": ([answered(20, "do_not_call")], LeadStatus.DNC),
    "+12125550103": ([failed(404)], LeadStatus.INVALID),
    "+12125550104": (
        [answered(30, "callback", callback_after=1800.0), answered(30, "not_interested")],
        LeadStatus.LOST,
    ),
    "+12125550105": (
        [answered(40, "interested", recording_after=5.0)],
        LeadStatus.QUALIFIED,
    ),
    "+12125550106": (
        [answered(10, None, answered_by="machine_start"), answered(9, "other")],
        LeadStatus.CONTACTED,
    ),
    "+12125550107": ([failed(503), answered(9, "appointment")], LeadStatus.QUALIFIED),
}
SCRIPTS = {number: scripts for number, (scripts, _) in PEOPLE.items()}

JOBS = 80
"""Approximate number of jobs for all leads, without a flush."""


async def play(flow: Flow, flushes: set[int], order: Random) -> None:
    """Run the schedules until the campaign is finished. Flush Redis after the jobs with the given
    numbers."""
    jobs = 0
    for _ in range(4 * 24 * 7):
        await flow.run("campaign.tick")
        await flow.run("call.reconcile")
        while await flow.run_next(order.randrange(JOBS)):
            jobs += 1
            if jobs in flushes:
                flow.queue.flush()
        if await is_finished(flow) and not flow.queue.waiting:
            break
        flow.clock.advance(timedelta(minutes=15))
    # The next reconciliation finds the last losses, and the next roll-up counts them.
    flow.clock.advance(timedelta(minutes=15))
    await flow.run("call.reconcile")
    await flow.run("analytics.rollup")
    await flow.drain()


async def is_finished(flow: Flow) -> bool:
    async with flow.store.begin() as work:
        campaign = await work.campaigns.get(flow.campaign_id)
    return campaign.status is CampaignStatus.COMPLETED


async def violations(flow: Flow) -> dict[str, Any]:
    """Return the violated invariants."""
    violated: dict[str, Any] = {}
    policy = CampaignPolicy()
    async with flow.store.begin() as work:
        campaign = await work.campaigns.get(flow.campaign_id)
        progress = await work.campaigns.progress(campaign.id)
        totals = await work.analytics.totals(campaign.id)
        for history in await work.analytics.histories(campaign.id):
            if reason := unexplained(history, policy.retries, campaign.status):
                violated[reason] = history
        for number, (_, expected) in PEOPLE.items():
            lead = await work.leads.find("default", number)
            if lead is None or lead.status is not expected:
                violated[number] = lead
        buckets = await work.analytics.buckets(campaign.id, None, None)
    provider = await flow.voice.records()
    pairs = {
        "campaign": (campaign.status, CampaignStatus.COMPLETED),
        "open": (sum(progress.get(status, 0) for status in OPEN), 0),
        "calls the provider took": (provider.accepted, totals.attempts),
        "calls that ended": (provider.ended, totals.ended),
        "calls in the roll-up": (sum(bucket.attempts for bucket in buckets), totals.attempts),
        "dialed twice": (provider.repeated_keys, 0),
        "outbox": (await flow.store.outbox_size(), 0),
        "recordings": (len(flow.recordings.list().collect()), 1),
        "suppressed": (await suppressed(flow), {"+12125550102"}),
    }
    return violated | {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


async def suppressed(flow: Flow) -> set[str]:
    async with flow.store.begin() as work:
        return await work.leads.suppressed("default", list(PEOPLE), flow.clock.now())


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
)
@given(st.sets(st.integers(0, JOBS), max_size=12), st.randoms(use_true_random=False))
async def test_every_lead_reaches_the_right_state_despite_flushes(
    flushes: set[int], order: Random
) -> None:
    leads = [NewLead(number) for number in PEOPLE]
    async with open_flow(None, scripts=SCRIPTS, leads=leads) as flow:
        await play(flow, flushes, order)
        assert await violations(flow) == {}
