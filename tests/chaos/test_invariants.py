"""The books of a run: each thing that may be wrong has a line that says so."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from jobs.chaos.invariants import Facts, entries
from jobs.chaos.recovery import Recovery, Span
from jobs.chaos.report import Report, figures
from jobs.chaos.schedule import Fault, Kind, Peer, Schedule
from jobs.engine.monitoring.aof_ledger import Ledger
from jobs.rules.dispositions import CallOutcome, Disposition
from jobs.rules.redial import RetryTable
from jobs.rules.states import CallStatus, CampaignStatus, EnrolmentStatus, LeadStatus
from jobs.store.model import Attempt, CampaignTotals, History
from jobs.voice import ProviderRecords

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
    provider=ProviderRecords(requests=1, accepted=1, ended=1),
    unlinked=[],
    in_flight=0,
    left=[],
    outbox=0,
    scripts={"lives": False, "dies": True},
    succeeded=frozenset({"lives"}),
    dead={"dies": "ValidationError"},
    bereft={},
    unasked=0,
    stubborn=0,
    counted=2,
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
        ({"dead": {}}, "scripted jobs that ended in another way"),
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


@pytest.mark.parametrize(
    ("silences", "error", "balances"),
    [
        (3, "WorkerLost", True),
        (2, "WorkerLost", False),
        (3, "ValueError", False),
        (3, None, False),
    ],
    ids=["given up", "given up too early", "failed", "lost"],
)
def test_a_job_may_be_given_up_whose_worker_fell_silent_three_times(
    silences: int, error: str | None, balances: bool
) -> None:
    dead = dict(FACTS.dead) if error is None else {**FACTS.dead, "lives": error}
    facts = replace(FACTS, succeeded=frozenset(), dead=dead, bereft={"lives": silences})
    assert (wrong(facts) == []) is balances


def test_after_a_flush_there_is_no_ledger() -> None:
    assert wrong(replace(FACTS, ledger=None, succeeded=frozenset(), dead={})) == []


KILL = Fault(10, 1, Kind.KILL, worker=0)
RECOVERY = Recovery(KILL, since=110.0, jobs=3, seconds=2.5, last={})


def report(spans: Sequence[Span], recoveries: Sequence[Recovery], facts: Facts = FACTS) -> Report:
    schedule = Schedule(1, 60, flush=False, faults=tuple(span.fault for span in spans))
    return Report(schedule, 70, spans, figures(facts, 0), recoveries, entries(facts))


@pytest.mark.parametrize(
    ("others", "disturbed"),
    [
        ([], False),
        ([(Fault(9, 10, Kind.SLOW), 109, 119)], False),
        ([(Fault(11, 1, Kind.POSTGRES), 112, 113)], False),
        ([(Fault(11, 1, Kind.REDIS), 111, 112)], True),
        ([(Fault(7, 1, Kind.REDIS), 107, 108)], True),
        ([(Fault(4, 1, Kind.REDIS), 104, 105)], False),
        ([(Fault(3, 3, Kind.DEPLOY), 103, 115)], True),
        ([(Fault(11, 1, Kind.KILL, 1), 111, 114)], False),
        ([(Fault(11, 1, Kind.KILL, 1), 111, 114), (Fault(9, 4, Kind.FREEZE, 2), 109, 113)], True),
        ([(Fault(11, 1, Kind.KILL, 1), 111, 114), (Fault(5, 4, Kind.FREEZE, 2), 105, 109)], False),
        (
            [
                (Fault(11, 1, Kind.CUT, 1, Peer.REDIS), 111, 112),
                (Fault(11, 1, Kind.CUT, 2, Peer.PROVIDER), 111, 112),
            ],
            False,
        ),
    ],
)
def test_a_recovery_is_disturbed_where_nobody_could_take_over(
    others: list[tuple[Fault, float, float]], *, disturbed: bool
) -> None:
    told = report([Span(KILL, 110, 113), *(Span(*other) for other in others)], [RECOVERY])
    assert told.longest == (None if disturbed else 2.5)


def test_without_recoveries_there_is_no_longest() -> None:
    assert report([], []).longest is None


def test_the_report_says_in_json_whether_the_books_balance() -> None:
    told = orjson.loads(report([Span(KILL, 110, 113)], [RECOVERY]).as_json())
    assert told["balances"] is True
    assert told["faults"] == {"kill a worker": 1}
    assert told["recoveries"]["longest_undisturbed"] == 2.5
    assert told["figures"]["jobs enqueued"] == 3
    broken = report([], [], replace(FACTS, outbox=1))
    told = orjson.loads(broken.as_json())
    assert told["balances"] is False
    assert [line["name"] for line in told["books"] if not line["balances"]] == [
        "follow-ups left in the outbox"
    ]
