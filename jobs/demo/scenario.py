"""What a demo plays: the leads, the provider's plan, and the campaign's policy, all of it data."""

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
"""A Tuesday, at 9 in New York; in California the window opens two hours later."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run.

    rows: of the lead file, below its header; usable: the different numbers in it. start, rate:
    of the business clock, in business seconds per real second. zone: of leads whose row has none;
    None finds it by the number. sums: what the report must show, where that is known.
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
"""The usual rules with shorter waits, so that a campaign ends within a day."""

REPLAY: Final = CampaignPolicy(
    windows=ALWAYS_OPEN,
    retries=RetryTable(no_answer=RetryRule(delay=timedelta(minutes=1))),
    caps=Caps(max_attempts=None, max_per_number=None),
    pacing=Pacing(calls_per_second=None, max_concurrent=1500),
)
"""Nothing in the way of what was recorded: open at all hours, no caps, a minute between attempts,
and as many attempts as it took."""


def made_up(folder: Path, *, leads: int, seed: int, rate: float | None) -> Scenario:
    """Leads that were never anybody's, called by a provider whose callbacks come late, repeated
    and out of order."""
    file = folder / "leads.csv"
    written = write_leads(file, leads, seed)
    return Scenario(
        title=f"{leads:,} made-up leads",
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
    """A recorded campaign, called again. Raises UsageError or ValidationError for a bad file."""
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
