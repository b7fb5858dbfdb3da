"""Workload during the faults: a campaign, and jobs with scripted outcomes."""

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

from jobs.demo.scenario import Scenario, synthetic
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
"""Business seconds per real second."""
CALLS_PER_SECOND: Final = 20.0
"""Target rate, in calls per real second."""
CALLS_PER_LEAD: Final = 1.7
"""Approximate average under `POLICY` and the scenario's plan."""
DUE_SHARE: Final = 0.9
"""Share of the fault schedule over which the leads become due."""
SCRIPTED_JOBS_PER_SECOND: Final = 20
TRANSIENT_ERRORS: Final = (RedisError, OSError, TimeoutError, DatabaseError)

USUAL_DISORDER: Final = Disorder(late=0.1, repeated=0.05, shuffled=0.1)
"""Disorder of the provider's callbacks outside of faults."""
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
    """Return the business time over which the leads become due.

    Args:
        seconds: Length of the fault schedule, in real seconds.

    Returns:
        Business time.
    """
    return timedelta(seconds=seconds * DUE_SHARE * RATE)


def make_scenario(folder: Path, seed: int, seconds: float) -> Scenario:
    """Create a campaign that lasts about as long as the faults.

    Args:
        folder: Folder to write the lead file to.
        seed: Seed of the leads and the calls.
        seconds: Length of the fault schedule, in real seconds.

    Returns:
        The scenario.
    """
    leads = max(20, round(seconds * DUE_SHARE * CALLS_PER_SECOND / CALLS_PER_LEAD))
    return replace(
        synthetic(folder, leads=leads, seed=seed, rate=RATE),
        campaign="chaos",
        plan=SeededPlan(seed, recorded=0.05, callback_hours=(0.1, 0.4)),
        policy=POLICY,
        disorder=USUAL_DISORDER,
    )


class ScriptedJobs:
    """Producer of jobs with known outcomes.

    Args:
        pool: Redis pool.
        seed: Seed of the scripts.

    Attributes:
        expected: Id of each enqueued job: True if its script ends in a dead letter.
    """

    def __init__(self, pool: Pool, seed: int) -> None:
        self.expected: dict[str, bool] = {}
        self._pool = pool
        self._random = Random(seed)  # noqa: S311  # repeatable by design

    async def produce(self) -> None:
        """Enqueue jobs until canceled. If Redis fails, send the same jobs and ids again."""
        unsent: list[JobRequest] = []
        while True:
            unsent += [self._request() for _ in range(SCRIPTED_JOBS_PER_SECOND // 5)]
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


class Operator:
    """Resumes the campaign whenever the breaker pauses it, as a person would.

    Args:
        pool: Redis pool.
        store: Database.
        campaign_id: Id of the campaign.

    Attributes:
        resumed: How often the campaign was resumed.
    """

    def __init__(self, pool: Pool, store: PostgresStore, campaign_id: UUID) -> None:
        self.resumed = 0
        self._pool, self._store, self._campaign_id = pool, store, campaign_id

    async def run(self) -> None:
        """Check the campaign every second until canceled."""
        while True:
            await asyncio.sleep(1)
            with suppress(*TRANSIENT_ERRORS):
                async with self._store.begin() as work:
                    campaign = await work.campaigns.get(self._campaign_id)
                if campaign.status is CampaignStatus.PAUSED:
                    await self._pool.enqueue_job("campaign.set_status", self._campaign_id, "resume")
                    self.resumed += 1


def wrong_outcomes(
    expected: Mapping[str, bool],
    succeeded: frozenset[str],
    dead: Mapping[str, str],
    worker_losses: Mapping[str, int],
) -> list[str]:
    """Return the scripted jobs that did not end as their script demands.

    A job that lost its worker `MAX_EXPIRED_LEASES` times may become a dead letter despite its
    script.

    Args:
        expected: Id of each scripted job: True if its script ends in a dead letter.
        succeeded: Ids of jobs that succeeded.
        dead: Id of each dead letter: its error class.
        worker_losses: Id of each affected job: how often it lost its worker.

    Returns:
        Sorted ids of the jobs with a wrong outcome.
    """

    def is_right(job_id: str, dies: bool) -> bool:
        if dead.get(job_id) == WorkerLost.__name__:
            return worker_losses.get(job_id, 0) >= MAX_EXPIRED_LEASES
        return (job_id in dead) if dies else (job_id in succeeded)

    return sorted(job_id for job_id, dies in expected.items() if not is_right(job_id, dies))
