"""Which fault comes when: a pure function of the seed and the length of the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from jobs.errors import UsageError

LEASE: Final = 2.0
"""Seconds after which the jobs of a silent worker go to another."""
WORKERS: Final = 3
LEAD_IN: Final = 1.0
"""Seconds of work before the first fault."""
SECONDS_PER_FAULT: Final = 2.0
SHORTEST: Final = 0.15
LONGEST: Final = 24 * 60.0
_TRIES: Final = 50


class Kind(StrEnum):
    """What can go wrong."""

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
    STOCK = "stock arq worker"
    DEPLOY = "deploy"


class Peer(StrEnum):
    """What a worker is connected to."""

    REDIS = "Redis"
    POSTGRES = "PostgreSQL"
    PROVIDER = "the provider"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, `at` seconds after the start, for `seconds`.

    worker: its number, from 0; None where it is no worker's, or all of theirs. peer: whom the
    network is about. amount: seconds, of a delay or of a clock's error.
    """

    at: float
    seconds: float
    kind: Kind
    worker: int | None = None
    peer: Peer | None = None
    amount: float = 0.0

    @property
    def end(self) -> float:
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
    """The faults of one run, in the order of their time. seconds: until the last is over."""

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
    Kind.STOCK: (5.0, 9.0),  # half of it goes into its start where the machine is busy
    Kind.DEPLOY: (3.0, 3.0),
}
"""How long each lasts, at least and at most. Of a killed worker and a stopped server: how long it
is gone."""
_ON_A_WORKER: Final = frozenset({Kind.KILL, Kind.FREEZE, Kind.SKEW})
_ON_THE_NETWORK: Final = frozenset({Kind.CUT, Kind.DELAY, Kind.SILENCE, Kind.HALF_OPEN})
_AT_REDIS: Final = frozenset({Kind.REDIS, Kind.FLUSH})
_AT_A_SERVER: Final = _AT_REDIS | {Kind.POSTGRES}
_AT_THE_PROVIDER: Final = frozenset({Kind.SLOW, Kind.FAILING, Kind.LYING})
_MARGIN: Final[dict[Kind, float]] = {
    Kind.KILL: 5.0, Kind.SKEW: 10.0, Kind.DEPLOY: 12.0, Kind.STOCK: 3.0, Kind.REDIS: 3.0,
    Kind.POSTGRES: 3.0,
}  # fmt: skip
"""Seconds after the fault that it takes to be over: a process has to start, or to stop."""


def plan(seed: int, minutes: float, *, flush: bool = False) -> Schedule:
    """The schedule of a run. Raises UsageError where the run is too short, or too long.

    Every kind comes about equally often, the first of each in a random order. What cannot be told
    apart, or would leave no worker at work, does not overlap.
    """
    if not SHORTEST <= minutes <= LONGEST:
        raise UsageError(f"--minutes is from {SHORTEST:g} to {LONGEST:g}, not {minutes:g}")
    random = Random(f"{seed} {minutes} {flush}")  # noqa: S311  # repeatable by design
    seconds = round(minutes * 60, 1)
    kinds = [kind for kind in Kind if flush or kind is not Kind.FLUSH]
    placed: list[Fault] = []
    for kind in _deck(kinds, max(1, int(seconds / SECONDS_PER_FAULT)), random):
        fault = _place(kind, seconds, placed, random)
        if fault is not None:
            placed.append(fault)
    return Schedule(seed, seconds, flush, tuple(sorted(placed, key=lambda fault: fault.at)))


def _deck(kinds: Sequence[Kind], count: int, random: Random) -> Iterable[Kind]:
    """So many kinds: all of them in a random order, then again in another."""
    order: Sequence[Kind] = ()
    for number in range(count):
        if number % len(kinds) == 0:
            order = random.sample(kinds, len(kinds))
        yield order[number % len(kinds)]


def _place(kind: Kind, end: float, placed: Sequence[Fault], random: Random) -> Fault | None:
    """The fault at a time and on a worker where it does not clash with the others."""
    for _ in range(_TRIES):
        fault = _draw(kind, end, random)
        if fault.end <= end and _fits(fault, placed):
            return fault
    return None


def _fits(fault: Fault, placed: Sequence[Fault]) -> bool:
    """Whether it clashes with none of the others, and leaves a worker alone."""
    meanwhile = [other for other in placed if _meet(fault, other)]
    hit = {one.worker for one in (fault, *meanwhile) if one.worker is not None}
    return len(hit) < WORKERS and not any(_clash(fault, other) for other in meanwhile)


def _draw(kind: Kind, end: float, random: Random) -> Fault:
    seconds = round(random.uniform(*_SECONDS[kind]), 1)
    at = round(random.uniform(LEAD_IN, max(LEAD_IN, end - seconds)), 1)
    worker = random.randrange(WORKERS) if kind in _ON_A_WORKER | _ON_THE_NETWORK else None
    peer = random.choice(list(Peer)) if kind in _ON_THE_NETWORK else None
    amount = 0.0
    if kind is Kind.DELAY:
        amount = round(random.uniform(0.01, 0.3), 2)
    elif kind is Kind.SKEW:
        amount = round(random.choice((-1, 1)) * random.uniform(0.5, 3.0), 1)
    return Fault(at, seconds, kind, worker, peer, amount)


def _meet(one: Fault, other: Fault) -> bool:
    """Whether they are there at the same time, with what it takes until each is over."""
    return one.at < other.end + _MARGIN.get(other.kind, 0.0) and other.at < one.end + _MARGIN.get(
        one.kind, 0.0
    )


def _clash(one: Fault, other: Fault) -> bool:
    """Whether they must not meet."""
    kinds = {one.kind, other.kind}
    if Kind.STOCK in kinds:
        # A stock worker dies with its connection, and its jobs then wait for five minutes.
        return bool(kinds & _AT_REDIS) or one.kind is other.kind
    if one.kind in _AT_THE_PROVIDER or other.kind in _AT_THE_PROVIDER:
        return kinds <= _AT_THE_PROVIDER
    if kinds <= _AT_A_SERVER or (Kind.DEPLOY in kinds and not kinds & _AT_A_SERVER):
        return True
    return one.worker is not None and one.worker == other.worker


def is_outage(fault: Fault) -> bool:
    """Whether Redis is away meanwhile."""
    return fault.kind in _AT_REDIS


def out_of_work(fault: Fault) -> frozenset[int]:
    """The workers that claim nothing meanwhile."""
    if fault.kind is Kind.DEPLOY:
        return frozenset(range(WORKERS))
    cut_off = fault.kind in _ON_THE_NETWORK and fault.peer is Peer.REDIS
    if fault.worker is None or not (cut_off or fault.kind in _ON_A_WORKER):
        return frozenset()
    return frozenset({fault.worker})
