"""What is going on while things go wrong: a campaign, and jobs that follow a script."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

from redis.exceptions import RedisError

from jobs.demo.scenario import Scenario, made_up
from jobs.engine import JobRequest, Pool
from jobs.engine.queue.claim import MAX_EXPIRED_LEASES
from jobs.errors import DatabaseError, WorkerLost
from jobs.rules.caps import Caps
from jobs.rules.pacing import Breaker, Pacing
from jobs.rules.policy import CampaignPolicy
from jobs.rules.redial import RetryRule, RetryTable
from jobs.rules.states import CampaignStatus
from jobs.rules.windows import ALWAYS_OPEN
from jobs.store.postgres.store import PostgresStore
from jobs.voice import Disorder, SeededPlan

RATE: Final = 600.0
"""Business seconds that pass in a real one."""
CALLS_PER_SECOND: Final = 20.0
"""Real seconds."""
CALLS_PER_LEAD: Final = 1.7
"""About so many follow from the plan and the policy."""
BUSY: Final = 0.9
"""The share of the faults' time over which the leads become due."""
SCRIPTS_PER_SECOND: Final = 20
TRANSIENT_ERRORS: Final = (RedisError, OSError, TimeoutError, DatabaseError)

USUAL: Final = Disorder(late=0.1, repeated=0.05, shuffled=0.1)
"""What the provider's callbacks are like at the best of times."""
POLICY: Final = CampaignPolicy(
    windows=ALWAYS_OPEN,
    retries=RetryTable(
        busy=RetryRule(delay=timedelta(minutes=5), max=3),
        no_answer=RetryRule(delay=timedelta(minutes=10), max=3),
        voicemail=RetryRule(delay=timedelta(minutes=15), max=2),
        carrier_failure=RetryRule(
            delay=timedelta(minutes=5), max=3, exponential=True, counts_as_attempt=False
        ),
        declined=RetryRule(delay=timedelta(minutes=20), max=1),
    ),
    caps=Caps(max_attempts=3, max_per_number=None),
    pacing=Pacing(calls_per_second=None, max_concurrent=500),
    breaker=Breaker(window=timedelta(minutes=30), min_calls=50),
)


def spread(seconds: float) -> timedelta:
    """The business time over which the leads become due, in a run of so many seconds."""
    return timedelta(seconds=seconds * BUSY * RATE)


def scenario(folder: Path, seed: int, seconds: float) -> Scenario:
    """A campaign that lasts for about as long as the faults."""
    leads = max(20, round(seconds * BUSY * CALLS_PER_SECOND / CALLS_PER_LEAD))
    return replace(
        made_up(folder, leads=leads, seed=seed, rate=RATE),
        campaign="chaos",
        plan=SeededPlan(seed, recorded=0.05, callback_hours=(0.1, 0.4)),
        policy=POLICY,
        disorder=USUAL,
    )


class Scripts:
    """Jobs whose end is known beforehand, enqueued all the time.

    expected: for each id, whether it ends as a dead letter.
    """

    def __init__(self, pool: Pool, seed: int) -> None:
        self.expected: dict[str, bool] = {}
        self._pool = pool
        self._random = Random(seed)  # noqa: S311  # repeatable by design

    async def produce(self) -> None:
        """Enqueues until it is cancelled. What Redis did not take is sent again, under its id."""
        unsent: list[JobRequest] = []
        while True:
            unsent += [self._request() for _ in range(SCRIPTS_PER_SECOND // 5)]
            with suppress(*TRANSIENT_ERRORS):
                async with asyncio.timeout(5):
                    await self._pool.enqueue_many(unsent)
                for request in unsent:
                    self.expected[str(request.job_id)] = "fail:ValidationError" in request.args
                unsent = []
            await asyncio.sleep(0.2)

    def _request(self) -> JobRequest:
        return JobRequest(
            "default.scripted",
            tuple(self._steps()),
            job_id=f"script-{self._random.getrandbits(64):x}",
        )

    def _steps(self) -> Sequence[str]:
        drawn = self._random.random()
        if drawn < 0.4:
            return ["ok"]
        if drawn < 0.8:
            return [f"sleep:{self._random.uniform(0.1, 2):.2f}"]
        if drawn < 0.9:
            return ["fail:ExternalServiceError", "ok"]
        if drawn < 0.95:
            return ["retry_after:0.5", "ok"]
        return ["fail:ValidationError"]


class Nurse:
    """Does for the campaign what a person would: resumes it when the breaker has paused it."""

    def __init__(self, pool: Pool, store: PostgresStore, campaign_id: UUID) -> None:
        self.resumed = 0
        self._pool, self._store, self._campaign_id = pool, store, campaign_id

    async def tend(self) -> None:
        while True:
            await asyncio.sleep(1)
            with suppress(*TRANSIENT_ERRORS):
                async with self._store.begin() as work:
                    campaign = await work.campaigns.get(self._campaign_id)
                if campaign.status is CampaignStatus.PAUSED:
                    await self._pool.enqueue_job("campaign.set_status", self._campaign_id, "resume")
                    self.resumed += 1


def differences(
    expected: Mapping[str, bool],
    succeeded: frozenset[str],
    dead: Mapping[str, str],
    bereft: Mapping[str, int],
) -> list[str]:
    """The ids of scripted jobs that did not end as their script says. dead: with the class of the
    error. bereft: how often a job's worker fell silent: after LAPSES_ALLOWED times it is given up,
    whatever its script."""

    def ended_well(job_id: str, dies: bool) -> bool:
        if dead.get(job_id) == WorkerLost.__name__:
            return bereft.get(job_id, 0) >= MAX_EXPIRED_LEASES
        return (job_id in dead) if dies else (job_id in succeeded)

    return sorted(job_id for job_id, dies in expected.items() if not ended_well(job_id, dies))
