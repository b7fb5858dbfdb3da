"""Redis is flushed while worker processes run a campaign.

The campaign ends as if nothing had been lost: `ringline reconcile` enqueues what the rows lack.
"""

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import cast
from uuid import UUID

import pytest
from click.testing import CliRunner

from jobs.campaign.status import Action, set_status
from jobs.cli import main as command
from jobs.clock import ScaledClock
from jobs.context import JobContext
from jobs.demo.environment import Environment
from jobs.demo.invariants import calls, explained
from jobs.demo.scenario import AN_AFTERNOON, START
from jobs.demo.workers import workers
from jobs.engine import create_pool
from jobs.rules.states import CampaignStatus
from jobs.settings import get_settings
from jobs.store.model import LeadFilter, NewLead
from jobs.store.postgres.store import PostgresStore
from jobs.testing.waiting import wait_until
from jobs.voice import SeededPlan, Simulator, serve
from tests.contract.given import EASTERN, number

SEED = 11
LEADS = 120
FLUSHES = 2


async def started(store: PostgresStore, clock: ScaledClock) -> UUID:
    """Start a campaign over new leads; return its id."""
    async with store.begin() as work:
        now = clock.now()
        leads = [NewLead(number(n), timezone=EASTERN) for n in range(LEADS)]
        await work.leads.add(leads, now)
        made = await work.campaigns.add("default", "spring", AN_AFTERNOON, now)
        await work.campaigns.enrol(made.id, LeadFilter(), now)
    ctx = cast("JobContext", {"store": store, "clock": clock})
    await set_status(ctx, made.id, Action.START)
    return made.id


async def has_accepted(voice: Simulator, calls: int) -> bool:
    return (await voice.records()).accepted >= calls


async def reconciled(store: PostgresStore, campaign_id: UUID) -> bool:
    """Run `ringline reconcile`; return whether the campaign is over and fully counted."""
    result = await asyncio.to_thread(CliRunner().invoke, command, ["reconcile"])
    assert result.exit_code == 0, result.output
    async with store.begin() as work:
        campaign = await work.campaigns.get(campaign_id)
        totals = await work.analytics.totals(campaign_id)
        unread = await work.calls.overdue(
            scheduled_before=START.max, dialed_before=START.max, limit=1
        )
        recordings = await work.calls.unfetched_recordings(
            received_after=START.min, received_before=START.max, limit=1
        )
        buckets = await work.analytics.buckets(campaign_id, None, None)
    rolled_up = sum(bucket.attempts for bucket in buckets) == totals.attempts
    over = campaign.status is CampaignStatus.COMPLETED
    return over and rolled_up and not unread and not recordings


async def test_campaign_survives_the_loss_of_redis(
    redis_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(SEED)
    clock = ScaledClock(START, 600, time.time())
    # A short path, since that of a socket has at most 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="rl-"))
    environment = Environment(redis_url, database_url, folder)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RINGLINE_CLOCK", str(clock))
    get_settings.cache_clear()
    voice = Simulator(SeededPlan(SEED, recorded=0.3, callback_hours=(0.25, 1.5)), clock, seed=SEED)
    variables = environment.variables(clock, tmp_path / "recordings")
    async with await create_pool(redis_url, clock=clock) as pool:
        store = await PostgresStore.open(database_url, publish=pool.enqueue_many, clock=clock)
        async with serve(voice, environment.socket), workers(2, variables, tmp_path / "log"):
            campaign_id = await started(store, clock)
            for _ in range(FLUSHES):
                calls_before_flush = (await voice.records()).accepted + random.randint(
                    1, LEADS // 2
                )
                await wait_until(partial(has_accepted, voice, calls_before_flush), 60)
                await pool.flushdb()
            await wait_until(partial(reconciled, store, campaign_id), 90, interval=1)
            await voice.idle.wait()
        async with store.begin() as work:
            campaign = await work.campaigns.get(campaign_id)
            totals = await work.analytics.totals(campaign_id)
            histories = await work.analytics.histories(campaign_id)
        await store.close()
    invariants = [
        explained(LEADS, histories, AN_AFTERNOON.retries, campaign.status),
        *calls(totals, await voice.records()),
    ]
    await voice.close()
    await asyncio.to_thread(folder.rmdir)
    get_settings.cache_clear()
    assert [invariant for invariant in invariants if not invariant.holds] == []
