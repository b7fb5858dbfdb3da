"""The books of a run: each thing that may be wrong has a line that says so."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from jobs.chaos.books import Facts, entries
from jobs.chaos.recovery import Recovery
from jobs.chaos.report import Report, figures
from jobs.chaos.schedule import Fault, Kind, Schedule
from jobs.engine.journal import Ledger
from jobs.rules.dispositions import CallOutcome, Disposition
from jobs.rules.retry import RetryTable
from jobs.rules.states import CallStatus, CampaignStatus, EnrolmentStatus, LeadStatus
from jobs.store.model import Attempt, CampaignTotals, History
from jobs.voice import Books

TOTALS = CampaignTotals(
    leads=1,
    leads_tried=1,
    leads_reached=1,
    attempts=1,
    ended=1,
    answered=1,
    answered_by_human=1,
    conversions=1,
    seconds=30,
    price=Decimal("0.01"),
    enrolments={EnrolmentStatus.DONE: 1},
    calls={CallStatus.COMPLETED: 1},
    dispositions={Disposition.ANSWERED: 1},
)
CONVERTED = Attempt(CallStatus.COMPLETED, Disposition.ANSWERED, CallOutcome.CONVERTED)
FACTS = Facts(
    unsettled="",
    leads=1,
    status=CampaignStatus.COMPLETED,
    retries=RetryTable(),
    totals=TOTALS,
    histories=[History(1, LeadStatus.CONVERTED, EnrolmentStatus.DONE, 1, (CONVERTED,))],
    provider=Books(requests=1, accepted=1, ended=1),
    unlinked=[],
    in_flight=0,
    left=[],
    outbox=0,
    scripts={"lives": False, "dies": True},
    succeeded=frozenset({"lives"}),
    dead=frozenset({"dies"}),
    unasked=0,
    stubborn=0,
    ledger=Ledger(enqueued=3, done=1, dead=1, left={"cron"}),
)


def wrong(facts: Facts) -> list[str]:
    return [entry.name for entry in entries(facts) if not entry.balances]


def test_where_nothing_is_wrong_the_books_balance() -> None:
    assert wrong(FACTS) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"unsettled": "3 jobs"}, "the run settled"),
        ({"leads": 2}, "leads stored = leads enrolled"),
        (
            {"histories": [History(1, LeadStatus.NEW, EnrolmentStatus.DONE, 0, ())]},
            "leads enrolled = leads in a state that their calls explain",
        ),
        ({"totals": replace(TOTALS, attempts=2)}, "calls placed = calls the provider took"),
        ({"totals": replace(TOTALS, ended=0)}, "calls placed = calls ended"),
        ({"provider": replace(FACTS.provider, repeated_keys=1)}, "attempts dialled twice"),
        ({"unlinked": ["call"]}, "calls the provider took that have no provider id"),
        ({"in_flight": 1}, "slots of calls that are over"),
        ({"left": ["job"]}, "jobs, leases and tries left in Redis"),
        ({"outbox": 1}, "follow-ups left in the outbox"),
        ({"succeeded": frozenset()}, "scripted jobs that ended in another way"),
        ({"dead": frozenset()}, "scripted jobs that ended in another way"),
        ({"unasked": 1}, "workers that ended by themselves"),
        ({"stubborn": 1}, "workers that did not stop when told to"),
        (
            {"ledger": Ledger(enqueued=3, done=1, dead=1)},
            "jobs enqueued = done + dead-lettered + discarded + of schedules still to run",
        ),
        ({"ledger": Ledger(lost=["job"])}, "jobs whose payload went before their end"),
        ({"ledger": Ledger(twice=["job"])}, "jobs that ended twice"),
    ],
)
def test_what_is_wrong_has_its_line(change: dict[str, Any], line: str) -> None:
    assert line in wrong(replace(FACTS, **change))


def test_after_a_flush_there_is_no_ledger() -> None:
    assert wrong(replace(FACTS, ledger=None, succeeded=frozenset(), dead=frozenset())) == []


KILL = Fault(10, 1, Kind.KILL, worker=0)


def report(faults: Sequence[Fault], recoveries: Sequence[Recovery], facts: Facts = FACTS) -> Report:
    schedule = Schedule(1, 60, flush=False, faults=tuple(faults))
    return Report(schedule, 70, {}, figures(facts, 0), recoveries, entries(facts))


def test_the_longest_recovery_is_that_of_undisturbed_ones() -> None:
    freeze, later = Fault(20, 5, Kind.FREEZE, worker=1), Fault(50, 1, Kind.KILL, worker=2)
    seen = [Recovery(KILL, 3, 2.5), Recovery(freeze, 1, 9.0), Recovery(later, 1, 3.0)]
    restart = Fault(22, 1, Kind.REDIS)
    slow = Fault(9, 10, Kind.SLOW)
    assert report([slow, KILL, freeze, restart, later], seen).longest == 3.0
    assert report([slow, KILL, freeze, later], seen).longest == 9.0
    assert report([], []).longest is None


def test_the_report_says_in_json_whether_the_books_balance() -> None:
    told = orjson.loads(report([KILL], [Recovery(KILL, 3, 2.5)]).as_json())
    assert told["balances"] is True
    assert told["recoveries"]["longest_undisturbed"] == 2.5
    assert told["figures"]["jobs enqueued"] == 3
    broken = report([KILL], [], replace(FACTS, outbox=1))
    told = orjson.loads(broken.as_json())
    assert told["balances"] is False
    assert [line["name"] for line in told["books"] if not line["balances"]] == [
        "follow-ups left in the outbox"
    ]
