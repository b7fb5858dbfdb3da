"""Fault schedule: deterministic, over in time, and never on all workers at once."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.chaos.schedule import LEASE, SHORTEST, WORKERS, Fault, Kind, Schedule, plan
from jobs.errors import UsageError

seeds = st.integers(min_value=-(2**63), max_value=2**63)
minutes = st.floats(min_value=SHORTEST, max_value=2)
few = settings(max_examples=30)
"""Each example is a whole schedule with dozens of faults."""
EXCLUSIVE = {Kind.ARQ, Kind.REDIS, Kind.FLUSH}
PROVIDER_FAULTS = {Kind.SLOW, Kind.FAILING, Kind.LYING}


def concurrent(faults: Sequence[Fault]) -> list[tuple[Fault, Fault]]:
    """Return the pairs of faults that overlap in time."""
    return [
        (fault, other)
        for number, fault in enumerate(faults)
        for other in faults[number + 1 :]
        if fault.at < other.end and other.at < fault.end
    ]


@few
@given(seeds, minutes, st.booleans())
def test_same_seed_gives_the_same_faults(seed: int, minutes: float, flush: bool) -> None:
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
def test_redis_is_flushed_only_on_request(seed: int, minutes: float) -> None:
    assert all(fault.kind is not Kind.FLUSH for fault in plan(seed, minutes).faults)


@few
@given(seeds, minutes, st.booleans())
def test_one_worker_is_always_unaffected(seed: int, minutes: float, flush: bool) -> None:
    faults = plan(seed, minutes, flush=flush).faults
    for fault in faults:
        active = [other for other in faults if other.at <= fault.at < other.end] or [fault]
        affected = [other.worker for other in active if other.worker is not None]
        assert len(affected) == len(set(affected)) < WORKERS
        assert not affected or all(other.kind is not Kind.DEPLOY for other in active)


@few
@given(seeds, minutes, st.booleans())
def test_conflicting_faults_never_overlap(seed: int, minutes: float, flush: bool) -> None:
    for fault, other in concurrent(plan(seed, minutes, flush=flush).faults):
        kinds = {fault.kind, other.kind}
        assert fault.kind is not other.kind or fault.worker is not None
        assert len(kinds & EXCLUSIVE) < 2
        assert len(kinds & PROVIDER_FAULTS) < 2


@few
@given(seeds, minutes, st.booleans())
def test_fault_names_its_worker_and_peer(seed: int, minutes: float, flush: bool) -> None:
    for fault in plan(seed, minutes, flush=flush).faults:
        assert fault.worker is None or 0 <= fault.worker < WORKERS
        network = fault.kind in (Kind.CUT, Kind.DELAY, Kind.SILENCE, Kind.HALF_OPEN)
        assert (fault.peer is not None) == network
        assert (fault.worker is not None) == (network or fault.kind in WORKER_FAULTS)
        if fault.kind is Kind.FREEZE:
            assert fault.seconds > LEASE
        if fault.kind is Kind.SKEW:
            assert fault.amount


WORKER_FAULTS = (Kind.KILL, Kind.FREEZE, Kind.SKEW)


def test_long_run_has_all_kinds_of_faults() -> None:
    kinds = {fault.kind for fault in plan(1, 3, flush=True).faults}
    assert kinds == set(Kind)


def test_different_seeds_give_different_schedules() -> None:
    assert len({plan(seed, 1) for seed in range(20)}) == 20


@pytest.mark.parametrize("minutes", [0.0, -1.0, 0.14, 1e9, float("nan")])
def test_length_out_of_range_is_rejected(minutes: float) -> None:
    with pytest.raises(UsageError, match="--minutes must be from"):
        plan(1, minutes)


def test_fault_is_described_in_one_line() -> None:
    lines = {str(fault) for seed in range(5) for fault in plan(seed, 3, flush=True).faults}
    assert "flush Redis" in lines
    assert any(line.startswith("wrong clock (worker ") and " by " in line for line in lines)
    assert any(" to PostgreSQL of " in line and line.endswith(" s") for line in lines)


def test_schedule_is_hashable() -> None:
    assert isinstance(plan(1, 1), Schedule)
    assert hash(plan(1, 1)) == hash(plan(1, 1))
