"""Fault schedule: a pure function of the seed and the length of the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from jobs.errors import UsageError

LEASE: Final = 2.0
"""Lease of the run's workers, in seconds."""
WORKERS: Final = 3
"""Number of workers."""
LEAD_IN: Final = 1.0
"""Seconds without faults at the start."""
SECONDS_PER_FAULT: Final = 2.0
"""Average interval between the starts of two faults."""
SHORTEST: Final = 0.15
"""Minimum length of a schedule, in minutes."""
LONGEST: Final = 24 * 60.0
"""Maximum length of a schedule, in minutes."""
_MAX_DRAWS: Final = 50
"""Random positions to try for one fault before it is left out."""


class Kind(StrEnum):
    """Kind of a fault."""

    KILL = "kill a worker"
    FREEZE = "freeze a worker"
    REDIS = "restart Redis"
    FLUSH = "flush Redis"
    POSTGRES = "restart PostgreSQL"
    CUT = "cut the network"
    DELAY = "slow network"
    SILENCE = "silent network"
    HALF_OPEN = "half-open connections"
    SLOW = "slow provider"
    FAILING = "failing provider"
    LYING = "lying provider"
    SKEW = "wrong clock"
    ARQ = "unmodified arq worker"
    DEPLOY = "deploy"


class Peer(StrEnum):
    """Network peer of a worker."""

    REDIS = "Redis"
    POSTGRES = "PostgreSQL"
    PROVIDER = "the provider"


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned fault.

    Attributes:
        at: Start, in seconds since the start of the schedule.
        seconds: Length in seconds.
        kind: Kind of the fault.
        worker: Number of the affected worker, from 0; None if no worker or every worker is
            affected.
        peer: Far end of the affected network.
        amount: Network delay or clock error, in seconds.
    """

    at: float
    seconds: float
    kind: Kind
    worker: int | None = None
    peer: Peer | None = None
    amount: float = 0.0

    @property
    def end(self) -> float:
        """End, in seconds since the start of the schedule."""
        return self.at + self.seconds

    def __str__(self) -> str:
        words = [self.kind.value]
        if self.worker is not None:
            words.append(f"(worker {self.worker})")
        if self.peer is not None:
            words.append(f"to {self.peer}")
        if self.amount:
            words.append(f"by {self.amount:+.2f} s" if self.kind is Kind.SKEW else "")
            words[-1] = words[-1] or f"of {self.amount * 1000:.0f} ms"
        if self.seconds:
            words.append(f"for {self.seconds:.1f} s")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults of one run.

    Attributes:
        seed: Seed of the schedule.
        seconds: Length in seconds; every fault is over by then.
        flush: The schedule includes flushes of Redis.
        faults: Faults, sorted by start.
    """

    seed: int
    seconds: float
    flush: bool
    faults: tuple[Fault, ...]


_SECONDS: Final[dict[Kind, tuple[float, float]]] = {
    Kind.KILL: (0.5, 2.5),
    Kind.FREEZE: (1.3 * LEASE, 3 * LEASE),
    Kind.REDIS: (0.2, 2.5),
    Kind.FLUSH: (0.0, 0.0),
    Kind.POSTGRES: (0.2, 2.5),
    Kind.CUT: (0.5, 4.0),
    Kind.DELAY: (2.0, 6.0),
    Kind.SILENCE: (0.5, 2.5 * LEASE),
    Kind.HALF_OPEN: (1.0, 2.5 * LEASE),
    Kind.SLOW: (2.0, 6.0),
    Kind.FAILING: (2.0, 6.0),
    Kind.LYING: (2.0, 6.0),
    Kind.SKEW: (3.0, 8.0),
    Kind.ARQ: (5.0, 9.0),  # on a busy machine, half of it is start-up
    Kind.DEPLOY: (3.0, 3.0),
}
"""Minimum and maximum length in seconds: of a killed worker or a restarted server, its downtime."""
_WORKER_FAULTS: Final = frozenset({Kind.KILL, Kind.FREEZE, Kind.SKEW})
_NETWORK_FAULTS: Final = frozenset({Kind.CUT, Kind.DELAY, Kind.SILENCE, Kind.HALF_OPEN})
_REDIS_FAULTS: Final = frozenset({Kind.REDIS, Kind.FLUSH})
_SERVER_FAULTS: Final = _REDIS_FAULTS | {Kind.POSTGRES}
_PROVIDER_FAULTS: Final = frozenset({Kind.SLOW, Kind.FAILING, Kind.LYING})
_MARGIN: Final[dict[Kind, float]] = {
    Kind.KILL: 5.0, Kind.SKEW: 10.0, Kind.DEPLOY: 12.0, Kind.ARQ: 3.0, Kind.REDIS: 3.0,
    Kind.POSTGRES: 3.0,
}  # fmt: skip
"""Seconds that a fault's effects outlast it, since a process has to start or stop."""


def plan(seed: int, minutes: float, *, flush: bool = False) -> Schedule:
    """Plan the faults of a run.

    All kinds are about equally frequent. Faults do not overlap if their effects could not be told
    apart, or if no worker would be left unaffected.

    Args:
        seed: Seed of the schedule.
        minutes: Length of the schedule.
        flush: Also plan flushes of Redis.

    Returns:
        The schedule; the same arguments give the same schedule.

    Raises:
        UsageError: The length is out of range.
    """
    if not SHORTEST <= minutes <= LONGEST:
        raise UsageError(f"--minutes must be from {SHORTEST:g} to {LONGEST:g}, not {minutes:g}")
    random = Random(f"{seed} {minutes} {flush}")  # noqa: S311  # repeatable by design
    seconds = round(minutes * 60, 1)
    kinds = [kind for kind in Kind if flush or kind is not Kind.FLUSH]
    placed: list[Fault] = []
    for kind in _sequence(kinds, max(1, int(seconds / SECONDS_PER_FAULT)), random):
        fault = _place(kind, seconds, placed, random)
        if fault is not None:
            placed.append(fault)
    return Schedule(seed, seconds, flush, tuple(sorted(placed, key=lambda fault: fault.at)))


def _sequence(kinds: Sequence[Kind], count: int, random: Random) -> Iterable[Kind]:
    """Yield `count` kinds: all of them in a random order, then again in another order."""
    order: Sequence[Kind] = ()
    for number in range(count):
        if number % len(kinds) == 0:
            order = random.sample(kinds, len(kinds))
        yield order[number % len(kinds)]


def _place(kind: Kind, end: float, placed: Sequence[Fault], random: Random) -> Fault | None:
    """Draw a fault that fits the placed faults; None if no draw fits."""
    for _ in range(_MAX_DRAWS):
        fault = _draw(kind, end, random)
        if fault.end <= end and _fits(fault, placed):
            return fault
    return None


def _fits(fault: Fault, placed: Sequence[Fault]) -> bool:
    """Check that a fault conflicts with no other fault and leaves a worker unaffected."""
    concurrent = [other for other in placed if _overlap(fault, other)]
    affected = {item.worker for item in (fault, *concurrent) if item.worker is not None}
    return len(affected) < WORKERS and not any(_conflict(fault, other) for other in concurrent)


def _draw(kind: Kind, end: float, random: Random) -> Fault:
    seconds = round(random.uniform(*_SECONDS[kind]), 1)
    at = round(random.uniform(LEAD_IN, max(LEAD_IN, end - seconds)), 1)
    worker = random.randrange(WORKERS) if kind in _WORKER_FAULTS | _NETWORK_FAULTS else None
    peer = random.choice(list(Peer)) if kind in _NETWORK_FAULTS else None
    amount = 0.0
    if kind is Kind.DELAY:
        amount = round(random.uniform(0.01, 0.3), 2)
    elif kind is Kind.SKEW:
        amount = round(random.choice((-1, 1)) * random.uniform(0.5, 3.0), 1)
    return Fault(at, seconds, kind, worker, peer, amount)


def _overlap(first: Fault, second: Fault) -> bool:
    """Check whether two faults overlap in time, including their margins."""
    first_end = first.end + _MARGIN.get(first.kind, 0.0)
    second_end = second.end + _MARGIN.get(second.kind, 0.0)
    return first.at < second_end and second.at < first_end


def _conflict(first: Fault, second: Fault) -> bool:
    """Check whether two faults must not overlap."""
    kinds = {first.kind, second.kind}
    if Kind.ARQ in kinds:
        # arq's worker dies with its connection, and its jobs then wait for five minutes.
        return bool(kinds & _REDIS_FAULTS) or first.kind is second.kind
    if first.kind in _PROVIDER_FAULTS or second.kind in _PROVIDER_FAULTS:
        return kinds <= _PROVIDER_FAULTS
    if kinds <= _SERVER_FAULTS or (Kind.DEPLOY in kinds and not kinds & _SERVER_FAULTS):
        return True
    return first.worker is not None and first.worker == second.worker


def is_redis_outage(fault: Fault) -> bool:
    """Check whether a fault makes Redis unavailable or empty.

    Args:
        fault: The fault.

    Returns:
        True for a restart or a flush of Redis.
    """
    return fault.kind in _REDIS_FAULTS


def idle_workers(fault: Fault) -> frozenset[int]:
    """Return the workers that claim no jobs during a fault.

    Args:
        fault: The fault.

    Returns:
        Numbers of the workers.
    """
    if fault.kind is Kind.DEPLOY:
        return frozenset(range(WORKERS))
    cut_off = fault.kind in _NETWORK_FAULTS and fault.peer is Peer.REDIS
    if fault.worker is None or not (cut_off or fault.kind in _WORKER_FAULTS):
        return frozenset()
    return frozenset({fault.worker})
