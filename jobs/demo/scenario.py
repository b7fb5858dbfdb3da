"""Scenario of a run, as data: leads, provider plan, campaign policy, clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from jobs.demo.dataset import FileSums, read_campaign
from jobs.demo.people import write_leads
from jobs.rules.caps import Caps
from jobs.rules.pacing import Breaker, Pacing
from jobs.rules.policy import CampaignPolicy
from jobs.rules.redial import RetryRule, RetryTable
from jobs.rules.windows import ALWAYS_OPEN
from jobs.voice import Disorder, Plan, SeededPlan

START: Final = datetime(2026, 3, 10, 13, tzinfo=UTC)
"""A Tuesday, 9:00 in New York; the calling window in California opens two hours later."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Input of one run.

    Attributes:
        title: Description, for the console.
        campaign: Name of the campaign.
        leads: Lead file (CSV).
        rows: Rows of the lead file, without the header.
        usable: Distinct usable phone numbers in the file.
        plan: Outcomes of the simulated calls.
        policy: Policy of the campaign.
        start: Start of the business clock.
        rate: Business seconds per real second.
        zone: Time zone of leads without one; None derives it from the phone number.
        disorder: Disorder of the provider's callbacks, if any.
        seed: Seed of the provider's disorder.
        sums: Sums that the report must reproduce, if known.
    """

    title: str
    campaign: str
    leads: Path
    rows: int
    usable: int
    plan: Plan
    policy: CampaignPolicy
    start: datetime
    rate: float
    zone: str | None = None
    disorder: Disorder | None = None
    seed: int = 0
    sums: FileSums | None = None


AN_AFTERNOON: Final = CampaignPolicy(
    retries=RetryTable(
        busy=RetryRule(delay=timedelta(minutes=15), max=3),
        no_answer=RetryRule(delay=timedelta(minutes=30), max=3),
        voicemail=RetryRule(delay=timedelta(minutes=45), max=2),
        carrier_failure=RetryRule(
            delay=timedelta(minutes=5), max=3, exponential=True, counts_as_attempt=False
        ),
        declined=RetryRule(delay=timedelta(hours=1), max=1),
    ),
    caps=Caps(max_attempts=3, max_per_number=None),
    pacing=Pacing(calls_per_second=None, max_concurrent=1000),
    breaker=Breaker(window=timedelta(minutes=30), min_calls=50),
)
"""Default rules with shorter delays, so that a campaign ends within a day."""

REPLAY: Final = CampaignPolicy(
    windows=ALWAYS_OPEN,
    retries=RetryTable(no_answer=RetryRule(delay=timedelta(minutes=1))),
    caps=Caps(max_attempts=None, max_per_number=None),
    pacing=Pacing(calls_per_second=None, max_concurrent=1500),
)
"""No restrictions, so that every recorded attempt takes place: always open, no caps, one minute
between attempts."""


def synthetic(folder: Path, *, leads: int, seed: int, rate: float | None) -> Scenario:
    """Create a scenario with synthetic leads and late, repeated and reordered callbacks.

    Args:
        folder: Folder to write the lead file to.
        leads: Number of usable leads.
        seed: Seed of the leads, the calls and the callbacks.
        rate: Business seconds per real second; None means 600.

    Returns:
        The scenario.

    Raises:
        UsageError: There are fewer than `leads` fictional phone numbers.
    """
    file = folder / "leads.csv"
    written = write_leads(file, leads, seed)
    return Scenario(
        title=f"{leads:,} synthetic leads",
        campaign="demo",
        leads=file,
        rows=written.rows,
        usable=written.usable,
        plan=SeededPlan(seed, recorded=0.05, callback_hours=(0.25, 1.5)),
        policy=AN_AFTERNOON,
        start=START,
        rate=rate or 600,
        disorder=Disorder(late=0.1, repeated=0.05, shuffled=0.1),
        seed=seed,
    )


def replayed(folder: Path, dataset: Path, *, rate: float | None) -> Scenario:
    """Create a scenario that replays a recorded campaign.

    Args:
        folder: Folder to write the lead file to.
        dataset: Recorded campaign (CSV, plain or gzipped).
        rate: Business seconds per real second; None means 600.

    Returns:
        The scenario.

    Raises:
        UsageError: The dataset lacks a column or has a bad row.
        ValidationError: The dataset is missing, empty or not text.
    """
    file = folder / "leads.csv"
    recorded = read_campaign(dataset, file)
    total = recorded.sums.total
    return Scenario(
        title=f"{dataset.name}: {total.leads:,} leads, {total.attempts:,} attempts",
        campaign=dataset.name.partition(".")[0],
        leads=file,
        rows=total.leads,
        usable=total.leads,
        plan=recorded.plan,
        policy=REPLAY,
        start=START,
        rate=rate or 600,
        zone="Europe/Lisbon",
        sums=recorded.sums,
    )
