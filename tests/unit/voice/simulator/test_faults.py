"""Faults of callbacks and of requests."""

from collections import Counter
from random import Random
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.voice import Disorder, SeededPlan, Trouble
from jobs.voice.protocol import CallRequest
from jobs.voice.simulator.faults import Fate
from jobs.voice.simulator.script import CallScript, answered, failed

shares = st.floats(0, 1)
seeds = st.integers(0, 2**32)
scripts = st.builds(
    lambda seed, nth: SeededPlan(seed, recorded=0.5).script(
        CallRequest(uuid4(), "+12125550100"), nth
    ),
    seeds,
    st.integers(1, 10),
)


@given(
    script=scripts,
    seed=seeds,
    late=shares,
    repeated=shares,
    shuffled=shares,
    contradicted=shares,
    delay=st.floats(0, 1e6),
)
def test_every_event_arrives_without_losses(
    script: CallScript,
    seed: int,
    late: float,
    repeated: float,
    shuffled: float,
    contradicted: float,
    delay: float,
) -> None:
    disorder = Disorder(
        late=late, repeated=repeated, shuffled=shuffled, contradicted=contradicted, delay=delay
    )

    arrivals = disorder.deliveries(script, Random(seed))

    happened = {(event.kind, event.sequence): event.at for event in script.events}
    arrived = {(event.kind, event.sequence) for _, event in arrivals}
    assert happened.keys() <= arrived
    assert all(at >= event.at for at, event in arrivals)
    contradictions = arrived - happened.keys()
    assert contradictions <= {("status", script.final.sequence + 1)}


@given(script=scripts, seed=seeds, lost=shares, repeated=shares)
def test_only_true_events_arrive_with_losses(
    script: CallScript, seed: int, lost: float, repeated: float
) -> None:
    arrivals = Disorder(lost=lost, repeated=repeated).deliveries(script, Random(seed))

    assert all(event in script.events for _, event in arrivals)


def test_all_events_can_be_lost() -> None:
    assert Disorder(lost=1).deliveries(failed(503), Random(1)) == []


def test_events_of_a_shuffled_call_arrive_in_random_order_after_its_end() -> None:
    script = answered(60, "converted")

    orders = set()
    for seed in range(20):
        arrivals = Disorder(shuffled=1).deliveries(script, Random(seed))
        assert all(at >= script.final.at for at, _ in arrivals)
        orders.add(tuple(event.sequence for _, event in sorted(arrivals, key=lambda a: a[0])))

    assert len(orders) > 5


@given(script=scripts, seed=seeds, shuffled=shares, late=shares, lost=shares)
def test_contradiction_arrives_after_the_true_final_event(
    script: CallScript, seed: int, shuffled: float, late: float, lost: float
) -> None:
    disorder = Disorder(contradicted=1, shuffled=shuffled, late=late, lost=lost)

    arrivals = disorder.deliveries(script, Random(seed))

    true_finals = [at for at, event in arrivals if event is script.final]
    contradictions = [(at, event) for at, event in arrivals if event not in script.events]
    assert bool(true_finals) == bool(contradictions)
    for at, contradiction in contradictions:
        assert at > max(true_finals)
        assert contradiction.payload["status"] != script.final.payload["status"]


def test_fates_of_requests_occur_in_the_configured_shares() -> None:
    trouble = Trouble(dropped=0.1, unanswered=0.2, wait=0.3, refuse=0.15)
    random = Random(1)

    fates = Counter(trouble.fate(random) for _ in range(10_000))

    shares = {fate: fates[fate] / 10_000 for fate in Fate}
    assert shares == pytest.approx(
        {
            Fate.DROPPED: 0.1,
            Fate.UNANSWERED: 0.2,
            Fate.RATE_LIMITED: 0.3,
            Fate.REFUSED: 0.15,
            Fate.DELIVERED: 0.25,
        },
        abs=0.02,
    )


def test_error_names_the_bad_share() -> None:
    with pytest.raises(ValueError, match="late"):
        Disorder(late=1.5)
    with pytest.raises(ValueError, match="delay"):
        Disorder(delay=-1)
    with pytest.raises(ValueError, match="invalid"):
        Trouble(invalid=float("nan"))
    with pytest.raises(ValueError, match="dropped \\+ unanswered"):
        Trouble(dropped=0.6, unanswered=0.6)
    with pytest.raises(ValueError, match="slow_seconds"):
        Trouble(slow_seconds=float("inf"))
