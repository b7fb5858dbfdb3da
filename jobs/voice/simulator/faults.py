"""Faults between the jobs and the provider, as shares from 0 to 1."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from jobs.voice.simulator.script import STATUS, CallScript, ScriptedEvent


def _validate(shares: dict[str, float], seconds: dict[str, float]) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is a share: use a number from 0 to 1")
    for name, value in seconds.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} is a number of seconds: use 0 or more")


@dataclass(frozen=True, slots=True)
class Disorder:
    """Faults of callbacks.

    Attributes:
        late: Share of events that arrive late.
        repeated: Share of events that arrive twice.
        lost: Share of events that do not arrive.
        shuffled: Share of calls with all events after the call's end, in random order.
        unnamed: Share of calls with events that do not carry the call id.
        contradicted: Share of calls with a false final event: it comes last, with a higher
            sequence, and claims another ending.
        delay: Maximum delay of a late event, and maximum interval between an event and its
            repetition, in business seconds.
    """

    late: float = 0.0
    repeated: float = 0.0
    lost: float = 0.0
    shuffled: float = 0.0
    unnamed: float = 0.0
    contradicted: float = 0.0
    delay: float = 60.0

    def __post_init__(self) -> None:
        _validate(
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
        """Return the arrivals of a call's events; no event arrives before it happens.

        Args:
            script: The call.
            random: Source of randomness.

        Returns:
            Pairs of arrival time, in business seconds after the call was accepted, and event.
        """
        shuffled = random.random() < self.shuffled
        end = max(event.at for event in script.events)
        arrivals: list[tuple[float, ScriptedEvent]] = []
        for event in script.events:
            at = end + random.uniform(0, self.delay) if shuffled else event.at
            arrivals.extend((at, event) for at in self._arrivals(at, random))
        final = script.final
        if random.random() < self.contradicted and any(event is final for _, event in arrivals):
            last = max(at for at, _ in arrivals)
            arrivals.append((last + self.delay, _contradiction(final)))
        return arrivals

    def _arrivals(self, at: float, random: Random) -> Iterator[float]:
        if random.random() < self.late:
            at += random.uniform(0, self.delay)
        if random.random() >= self.lost:
            yield at
        if random.random() < self.repeated:
            yield at + random.uniform(0, self.delay)


def _contradiction(final: ScriptedEvent) -> ScriptedEvent:
    false_status = "no-answer" if final.payload["status"] == "failed" else "failed"
    return ScriptedEvent(final.at, STATUS, final.sequence + 1, {"status": false_status})


class Fate(StrEnum):
    """Fate of a request to dial."""

    DELIVERED = "delivered"
    DROPPED = "dropped"
    """Lost before the call is accepted."""
    UNANSWERED = "unanswered"
    """The call is accepted, and the answer lost."""
    RATE_LIMITED = "rate limited"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Faults of requests.

    The shares `dropped`, `unanswered`, `wait` and `refuse` exclude each other: their sum is at
    most 1.

    Attributes:
        slow: Share of batches of requests that are answered `slow_seconds` late.
        dropped: Share of requests to dial lost before the call is accepted.
        unanswered: Share of requests to dial with a lost answer; the call is accepted.
        wait: Share of requests to dial refused with the delay `wait_seconds`.
        refuse: Share of requests to dial refused without a delay.
        invalid: Share of numbers that are always refused, permanently.
        deaf: Share of lookups that fail.
        slow_seconds: Delay of slow answers, in real seconds.
        wait_seconds: Delay that a rate-limited client is asked to wait, in seconds.
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
        _validate(
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
        """Return the fate of one request to dial."""
        draw = random.random()
        for fate, share in zip(_FAULTY_FATES, self._shares(), strict=True):
            if draw < share:
                return fate
            draw -= share
        return Fate.DELIVERED


_FAULTY_FATES: Final = (Fate.DROPPED, Fate.UNANSWERED, Fate.RATE_LIMITED, Fate.REFUSED)
