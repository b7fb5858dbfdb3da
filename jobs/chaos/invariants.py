"""Invariants of a chaos run, checked once the faults are over and the run has settled."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobs.chaos.workload import wrong_outcomes
from jobs.demo.invariants import Invariant, calls, explained
from jobs.engine.monitoring.aof_ledger import Ledger
from jobs.rules.redial import RetryTable
from jobs.rules.states import CampaignStatus
from jobs.store.model import CampaignTotals, History
from jobs.voice.simulator.provider import ProviderRecords


@dataclass(frozen=True, slots=True)
class Facts:
    """Final state of a chaos run, the input of `check_invariants`.

    Attributes:
        unsettled: Work that remained when the run stalled; empty if it settled.
        leads: Leads in the database.
        status: Status of the campaign.
        retries: Redial rules of the campaign.
        totals: Totals of the campaign's calls and enrollments.
        histories: Leads, grouped by state and calls.
        provider: Counts kept by the voice provider.
        unlinked: Ids of calls that the provider accepted, but that have no provider id.
        in_flight: Calls that occupy a line.
        unfinished: Ids of jobs that have not ended.
        outbox: Unpublished outbox rows.
        scripted: Id of each scripted job: True if its script ends in a dead letter.
        succeeded: Ids of jobs that succeeded.
        dead_letters: Id of each dead letter: its error class.
        worker_losses: Id of each affected job: how often it lost its worker.
        unexpected_exits: Worker processes that exited without a signal from the run.
        ignored_stops: Workers that did not stop on SIGTERM.
        counted: Jobs that ended, by the workers' own counters.
        ledger: Jobs in Redis's append-only file; None if Redis was flushed.
    """

    unsettled: str
    leads: int
    status: CampaignStatus
    retries: RetryTable
    totals: CampaignTotals
    histories: Sequence[History]
    provider: ProviderRecords
    unlinked: Collection[str]
    in_flight: int
    unfinished: Collection[str]
    outbox: int
    scripted: Mapping[str, bool]
    succeeded: frozenset[str]
    dead_letters: Mapping[str, str]
    worker_losses: Mapping[str, int]
    unexpected_exits: int
    ignored_stops: int
    counted: int
    ledger: Ledger | None


def check_invariants(facts: Facts) -> list[Invariant]:
    """Check all invariants of a chaos run.

    Args:
        facts: Final state of the run.

    Returns:
        Every invariant, violated or not.
    """
    return [*_leads(facts), *_calls(facts), *_jobs(facts), *_ledger(facts)]


def _leads(facts: Facts) -> Iterator[Invariant]:
    yield Invariant("run settled", 0, int(bool(facts.unsettled)), facts.unsettled)
    yield Invariant("leads stored = leads enrolled", facts.leads, facts.totals.leads)
    yield explained(facts.totals.leads, facts.histories, facts.retries, facts.status)


def _calls(facts: Facts) -> Iterator[Invariant]:
    yield from calls(facts.totals, facts.provider)
    yield _none("accepted calls without a provider id", facts.unlinked)
    yield Invariant("lines still occupied", facts.in_flight, 0)


def _jobs(facts: Facts) -> Iterator[Invariant]:
    yield _none("jobs, leases and retry counters left in Redis", facts.unfinished)
    yield Invariant("unpublished outbox rows", facts.outbox, 0)
    if facts.ledger is not None:  # a flush deletes scripted jobs
        wrong = wrong_outcomes(
            facts.scripted, facts.succeeded, facts.dead_letters, facts.worker_losses
        )
        yield _none("scripted jobs with a wrong outcome", wrong)
    yield Invariant("unexpected worker exits", facts.unexpected_exits, 0)
    yield Invariant("workers that ignored SIGTERM", facts.ignored_stops, 0)


def _ledger(facts: Facts) -> Iterator[Invariant]:
    ledger = facts.ledger
    if ledger is None:
        return
    lost = [job_id for job_id in ledger.lost if job_id not in facts.unfinished]
    yield Invariant(
        "jobs enqueued = done + dead-lettered + discarded + scheduled but not due",
        ledger.enqueued,
        ledger.ended + len(ledger.left),
    )
    yield _none("jobs whose payload was lost before they ended", lost)
    yield _none("jobs that ended twice", ledger.twice)


def _none(name: str, found: Collection[str]) -> Invariant:
    """Require that there are no such items."""
    return Invariant(name, len(found), 0, ", ".join(sorted(found)[:3]))
