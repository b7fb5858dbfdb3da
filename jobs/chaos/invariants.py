"""What must be right once the faults are over and everything has settled."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobs.chaos.workload import differences
from jobs.demo.invariants import Entry, calls, explained
from jobs.engine.monitoring.aof_ledger import Ledger
from jobs.rules.redial import RetryTable
from jobs.rules.states import CampaignStatus
from jobs.store.model import CampaignTotals, History
from jobs.voice.simulator.provider import ProviderRecords


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the books are made of.

    unsettled: what had not come to its end when nothing moved any more. unlinked: calls that the
    provider took and that we do not know its id of. in_flight: calls that hold a slot. left: jobs
    that are not done. scripts: how the scripted jobs should have ended, succeeded and dead: how
    they did. bereft: how often the worker of a job was killed or frozen while it held it. unasked,
    stubborn: of the workers, see `Worker`. counted: jobs that ended, by the workers' own counters.
    ledger: None where Redis was flushed.
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
    left: Collection[str]
    outbox: int
    scripts: Mapping[str, bool]
    succeeded: frozenset[str]
    dead: Mapping[str, str]
    bereft: Mapping[str, int]
    unasked: int
    stubborn: int
    counted: int
    ledger: Ledger | None


def entries(facts: Facts) -> list[Entry]:
    """The books, one line after the other."""
    return [*_leads(facts), *_calls(facts), *_jobs(facts), *_ledger(facts)]


def _leads(facts: Facts) -> Iterator[Entry]:
    yield Entry("the run settled", 0, int(bool(facts.unsettled)), facts.unsettled)
    yield Entry("leads stored = leads enrolled", facts.leads, facts.totals.leads)
    yield explained(facts.totals.leads, facts.histories, facts.retries, facts.status)


def _calls(facts: Facts) -> Iterator[Entry]:
    yield from calls(facts.totals, facts.provider)
    yield _none("calls the provider took that have no provider id", facts.unlinked)
    yield Entry("slots of calls that are over", facts.in_flight, 0)


def _jobs(facts: Facts) -> Iterator[Entry]:
    yield _none("jobs, leases and tries left in Redis", facts.left)
    yield Entry("follow-ups left in the outbox", facts.outbox, 0)
    if facts.ledger is not None:  # a flush takes scripted jobs with it
        wrong = differences(facts.scripts, facts.succeeded, facts.dead, facts.bereft)
        yield _none("scripted jobs that ended in another way", wrong)
    yield Entry("workers that ended by themselves", facts.unasked, 0)
    yield Entry("workers that did not stop when told to", facts.stubborn, 0)


def _ledger(facts: Facts) -> Iterator[Entry]:
    ledger = facts.ledger
    if ledger is None:
        return
    lost = [job_id for job_id in ledger.lost if job_id not in facts.left]
    yield Entry(
        "jobs enqueued = done + dead-lettered + discarded + of schedules still to run",
        ledger.enqueued,
        ledger.ended + len(ledger.left),
    )
    yield _none("jobs whose payload went before their end", lost)
    yield _none("jobs that ended twice", ledger.twice)


def _none(name: str, found: Collection[str]) -> Entry:
    """Nothing of this kind may be there."""
    return Entry(name, len(found), 0, ", ".join(sorted(found)[:3]))
