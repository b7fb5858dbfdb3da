"""The schedule of faults: the same for the same seed, over in time, and never all at once."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.chaos.schedule import LEASE, SHORTEST, WORKERS, Fault, Kind, Schedule, plan
from jobs.errors import UsageError

seeds = st.integers(min_value=-(2**63), max_value=2**63)
minutes = st.floats(min_value=SHORTEST, max_value=2)
few = settings(max_examples=30)
"""Each example is a whole schedule, of dozens of faults."""
ALONE_WITH_REDIS = {Kind.STOCK, Kind.REDIS, Kind.FLUSH}
TROUBLE = {Kind.SLOW, Kind.FAILING, Kind.LYING}


def together(faults: Sequence[Fault]) -> list[tuple[Fault, Fault]]:
    """The pairs of faults that are there at the same time."""
    return [
        (one, other)
        for number, one in enumerate(faults)
        for other in faults[number + 1 :]
        if one.at < other.end and other.at < one.end
    ]


@few
@given(seeds, minutes, st.booleans())
def test_the_same_seed_gives_the_same_faults(seed: int, minutes: float, flush: bool) -> None:
    assert plan(seed, minutes, flush=flush) == plan(seed, minutes, flush=flush)


@few
@given(seeds, minutes, st.booleans())
def test_faults_are_sorted_and_over_before_the_end(seed: int, minutes: float, flush: bool) -> None:
    schedule = plan(seed, minutes, flush=flush)
    assert schedule.faults
    starts = [fault.at for fault in schedule.faults]
    assert starts == sorted(starts)
    assert all(0 < fault.at <= fault.end <= schedule.seconds for fault in schedule.faults)


@few
@given(seeds, minutes)
def test_redis_is_flushed_only_where_that_is_asked_for(seed: int, minutes: float) -> None:
    assert all(fault.kind is not Kind.FLUSH for fault in plan(seed, minutes).faults)


@few
@given(seeds, minutes, st.booleans())
def test_some_worker_is_always_left_alone(seed: int, minutes: float, flush: bool) -> None:
    faults = plan(seed, minutes, flush=flush).faults
    for one in faults:
        now = [other for other in faults if other.at <= one.at < other.end] or [one]
        hit = [other.worker for other in now if other.worker is not None]
        assert len(hit) == len(set(hit)) < WORKERS
        assert not hit or all(other.kind is not Kind.DEPLOY for other in now)


@few
@given(seeds, minutes, st.booleans())
def test_some_faults_never_meet(seed: int, minutes: float, flush: bool) -> None:
    for one, other in together(plan(seed, minutes, flush=flush).faults):
        kinds = {one.kind, other.kind}
        assert one.kind is not other.kind or one.worker is not None
        assert len(kinds & ALONE_WITH_REDIS) < 2
        assert len(kinds & TROUBLE) < 2


@few
@given(seeds, minutes, st.booleans())
def test_each_fault_says_whom_it_is_about(seed: int, minutes: float, flush: bool) -> None:
    for fault in plan(seed, minutes, flush=flush).faults:
        assert fault.worker is None or 0 <= fault.worker < WORKERS
        network = fault.kind in (Kind.CUT, Kind.DELAY, Kind.SILENCE, Kind.HALF_OPEN)
        assert (fault.peer is not None) == network
        assert (fault.worker is not None) == (network or fault.kind in WORKERS_OWN)
        if fault.kind is Kind.FREEZE:
            assert fault.seconds > LEASE
        if fault.kind is Kind.SKEW:
            assert fault.amount


WORKERS_OWN = (Kind.KILL, Kind.FREEZE, Kind.SKEW)


def test_a_long_run_has_all_kinds_of_faults() -> None:
    kinds = {fault.kind for fault in plan(1, 3, flush=True).faults}
    assert kinds == set(Kind)


def test_other_seeds_have_other_schedules() -> None:
    assert len({plan(seed, 1) for seed in range(20)}) == 20


@pytest.mark.parametrize("minutes", [0.0, -1.0, 0.14, 1e9, float("nan")])
def test_a_length_that_makes_no_sense_is_refused(minutes: float) -> None:
    with pytest.raises(UsageError, match="--minutes is from"):
        plan(1, minutes)


def test_a_fault_says_in_a_line_what_it_is() -> None:
    lines = {str(fault) for seed in range(5) for fault in plan(seed, 3, flush=True).faults}
    assert "flush Redis" in lines
    assert any(line.startswith("wrong clock (worker ") and " by " in line for line in lines)
    assert any(" to PostgreSQL of " in line and line.endswith(" s") for line in lines)


def test_schedules_are_values() -> None:
    assert isinstance(plan(1, 1), Schedule)
    assert hash(plan(1, 1)) == hash(plan(1, 1))
