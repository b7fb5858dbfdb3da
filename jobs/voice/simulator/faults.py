"""What goes wrong between us and the provider, as shares from 0 to 1."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from jobs.voice.simulator.script import STATUS, CallScript, ScriptedEvent


def _check(shares: dict[str, float], seconds: dict[str, float]) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is a share, from 0 to 1")
    for name, value in seconds.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} is a number of seconds, at least 0")


@dataclass(frozen=True, slots=True)
class Disorder:
    """What happens to callbacks. late, repeated and lost are shares of the events, the rest of
    the calls.

    shuffled: all events of the call come after its end, in any order.
    unnamed: the call's events do not carry its call id.
    contradicted: at last an event with a higher sequence number claims that the call ended in
    another way; that is a lie.
    delay: the most that an event is late, and the span between an event and its repetition, in
    business seconds.
    """

    late: float = 0.0
    repeated: float = 0.0
    lost: float = 0.0
    shuffled: float = 0.0
    unnamed: float = 0.0
    contradicted: float = 0.0
    delay: float = 60.0

    def __post_init__(self) -> None:
        _check(
            {
                "late": self.late,
                "repeated": self.repeated,
                "lost": self.lost,
                "shuffled": self.shuffled,
                "unnamed": self.unnamed,
                "contradicted": self.contradicted,
            },
            {"delay": self.delay},
        )

    def deliveries(self, script: CallScript, random: Random) -> list[tuple[float, ScriptedEvent]]:
        """When which event arrives, in business seconds after the taking of the call.

        An event never arrives before it happens.
        """
        shuffled = random.random() < self.shuffled
        end = max(event.at for event in script.events)
        arrivals: list[tuple[float, ScriptedEvent]] = []
        for event in script.events:
            at = end + random.uniform(0, self.delay) if shuffled else event.at
            arrivals.extend((at, event) for at in self._moments(at, random))
        final = script.final
        if random.random() < self.contradicted and any(event is final for _, event in arrivals):
            last = max(at for at, _ in arrivals)
            arrivals.append((last + self.delay, _contradiction(final)))
        return arrivals

    def _moments(self, at: float, random: Random) -> Iterator[float]:
        if random.random() < self.late:
            at += random.uniform(0, self.delay)
        if random.random() >= self.lost:
            yield at
        if random.random() < self.repeated:
            yield at + random.uniform(0, self.delay)


def _contradiction(final: ScriptedEvent) -> ScriptedEvent:
    claim = "no-answer" if final.payload["status"] == "failed" else "failed"
    return ScriptedEvent(final.at, STATUS, final.sequence + 1, {"status": claim})


class Fate(StrEnum):
    """What becomes of a request to dial."""

    HEARD = "heard"
    DROPPED = "dropped"
    """Not taken, and no answer comes back."""
    UNANSWERED = "unanswered"
    """Taken, and no answer comes back."""
    TOLD_TO_WAIT = "told to wait"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to requests. dropped, unanswered, wait and refuse are shares of the requests
    to dial; of them, no more than 1 in all.

    dropped: the connection is lost before the call is taken; unanswered: after that.
    slow: the share of orders, of one or many requests, that are answered `slow_seconds` (real
    time) late.
    wait: asked to come back after `wait_seconds`. refuse: not taken, with no more said.
    invalid: the share of numbers that are refused for good.
    deaf: the share of lookups that fail.
    """

    slow: float = 0.0
    dropped: float = 0.0
    unanswered: float = 0.0
    wait: float = 0.0
    refuse: float = 0.0
    invalid: float = 0.0
    deaf: float = 0.0
    slow_seconds: float = 1.0
    wait_seconds: float = 2.0

    def __post_init__(self) -> None:
        _check(
            {
                "slow": self.slow,
                "dropped": self.dropped,
                "unanswered": self.unanswered,
                "wait": self.wait,
                "refuse": self.refuse,
                "dropped + unanswered + wait + refuse": sum(self._shares()),
                "invalid": self.invalid,
                "deaf": self.deaf,
            },
            {"slow_seconds": self.slow_seconds, "wait_seconds": self.wait_seconds},
        )

    def _shares(self) -> tuple[float, float, float, float]:
        return self.dropped, self.unanswered, self.wait, self.refuse

    def fate(self, random: Random) -> Fate:
        """What becomes of one request to dial."""
        drawn = random.random()
        for fate, share in zip(_TROUBLES, self._shares(), strict=True):
            if drawn < share:
                return fate
            drawn -= share
        return Fate.HEARD


_TROUBLES: Final = (Fate.DROPPED, Fate.UNANSWERED, Fate.TOLD_TO_WAIT, Fate.REFUSED)
