"""Invariants, recoveries and report of a chaos run."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from jobs.chaos.invariants import Facts, check_invariants
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
    unfinished=[],
    outbox=0,
    scripted={"lives": False, "dies": True},
    succeeded=frozenset({"lives"}),
    dead_letters={"dies": "ValidationError"},
    worker_losses={},
    unexpected_exits=0,
    ignored_stops=0,
    counted=2,
    ledger=Ledger(enqueued=3, done=1, dead=1, left={"cron"}),
)


def violated(facts: Facts) -> list[str]:
    return [invariant.name for invariant in check_invariants(facts) if not invariant.holds]


def test_all_invariants_hold_for_a_correct_run() -> None:
    assert violated(FACTS) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"unsettled": "3 jobs"}, "run settled"),
        ({"leads": 2}, "leads stored = leads enrolled"),
        (
            {"histories": [History(1, LeadStatus.NEW, EnrolmentStatus.DONE, 0, ())]},
            "leads enrolled = leads whose calls explain their state",
        ),
        ({"totals": replace(TOTALS, attempts=2)}, "calls placed = calls accepted by the provider"),
        ({"totals": replace(TOTALS, ended=0)}, "calls placed = calls ended"),
        ({"provider": replace(FACTS.provider, repeated_keys=1)}, "attempts dialed twice"),
        ({"unlinked": ["call"]}, "accepted calls without a provider id"),
        ({"in_flight": 1}, "lines still occupied"),
        ({"unfinished": ["job"]}, "jobs, leases and retry counters left in Redis"),
        ({"outbox": 1}, "unpublished outbox rows"),
        ({"succeeded": frozenset()}, "scripted jobs with a wrong outcome"),
        ({"dead_letters": {}}, "scripted jobs with a wrong outcome"),
        ({"unexpected_exits": 1}, "unexpected worker exits"),
        ({"ignored_stops": 1}, "workers that ignored SIGTERM"),
        (
            {"ledger": Ledger(enqueued=3, done=1, dead=1)},
            "jobs enqueued = done + dead-lettered + discarded + scheduled but not due",
        ),
        ({"ledger": Ledger(lost=["job"])}, "jobs whose payload was lost before they ended"),
        ({"ledger": Ledger(twice=["job"])}, "jobs that ended twice"),
    ],
)
def test_wrong_fact_violates_its_invariant(change: dict[str, Any], name: str) -> None:
    assert name in violated(replace(FACTS, **change))


@pytest.mark.parametrize(
    ("losses", "error", "passes"),
    [
        (3, "WorkerLost", True),
        (2, "WorkerLost", False),
        (3, "ValueError", False),
        (3, None, False),
    ],
    ids=["poison job", "too few losses", "failed", "lost"],
)
def test_job_that_lost_three_workers_may_be_a_dead_letter(
    losses: int, error: str | None, passes: bool
) -> None:
    dead = dict(FACTS.dead_letters)
    if error is not None:
        dead["lives"] = error
    facts = replace(
        FACTS, succeeded=frozenset(), dead_letters=dead, worker_losses={"lives": losses}
    )
    assert (violated(facts) == []) is passes


def test_flushed_run_has_no_ledger_to_check() -> None:
    assert violated(replace(FACTS, ledger=None, succeeded=frozenset(), dead_letters={})) == []


KILL = Fault(10, 1, Kind.KILL, worker=0)
RECOVERY = Recovery(KILL, since=110.0, jobs=3, seconds=2.5, last={})


def report(spans: Sequence[Span], recoveries: Sequence[Recovery], facts: Facts = FACTS) -> Report:
    schedule = Schedule(1, 60, flush=False, faults=tuple(span.fault for span in spans))
    return Report(schedule, 70, spans, figures(facts, 0), recoveries, check_invariants(facts))


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
def test_recovery_is_disturbed_if_no_worker_could_take_over(
    others: list[tuple[Fault, float, float]], *, disturbed: bool
) -> None:
    made = report([Span(KILL, 110, 113), *(Span(*other) for other in others)], [RECOVERY])
    assert made.longest == (None if disturbed else 2.5)


def test_report_without_recoveries_has_no_longest() -> None:
    assert report([], []).longest is None


def test_json_report_contains_the_invariants() -> None:
    content = orjson.loads(report([Span(KILL, 110, 113)], [RECOVERY]).as_json())
    assert content["balances"] is True
    assert content["faults"] == {"kill a worker": 1}
    assert content["recoveries"]["longest_undisturbed"] == 2.5
    assert content["figures"]["jobs enqueued"] == 3
    broken = report([], [], replace(FACTS, outbox=1))
    content = orjson.loads(broken.as_json())
    assert content["balances"] is False
    assert [line["name"] for line in content["books"] if not line["balances"]] == [
        "unpublished outbox rows"
    ]
