"""Plans: the script of each call, a pure function of the number and of its earlier calls."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, Protocol, Self

from jobs.errors import ValidationError
from jobs.voice.protocol import CallRequest
from jobs.voice.simulator.chance import chance
from jobs.voice.simulator.script import PRICE_PER_MINUTE, CallScript, answered, failed, unanswered

_HOUR: Final = 3600.0
_MACHINES: Final = ("machine_end_beep", "machine_end_silence", "machine_start", "machine_end_other")


class Plan(Protocol):
    """Source of the calls' scripts."""

    def script(self, request: CallRequest, nth: int) -> CallScript:
        """Return the script of a call; pure, so repeated calls return the same script.

        Args:
            request: The call.
            nth: Position of the call among the accepted calls to its number, from 1.
        """
        ...


@dataclass(frozen=True, slots=True)
class Mix:
    """Weights of the endings of calls.

    `unallocated` is the weight of numbers that do not exist: all calls to them fail. A human
    answers the calls from `converted` on; their outcome has the ending's name, except that
    `talked` has no outcome. An outcome `callback` has the time of the requested callback.
    """

    no_answer: float = 0.36
    busy: float = 0.06
    voicemail: float = 0.22
    carrier_failure: float = 0.02
    declined: float = 0.02
    unallocated: float = 0.01
    converted: float = 0.04
    appointment: float = 0.03
    interested: float = 0.04
    callback: float = 0.05
    not_interested: float = 0.11
    do_not_call: float = 0.01
    talked: float = 0.03

    def __post_init__(self) -> None:
        weights = self.weights()
        if min(weights.values()) < 0 or not 0 < sum(weights.values()) < float("inf"):
            raise ValueError("the weights of a mix must be 0 or more, and at least one above 0")

    @classmethod
    def only(cls, **weights: float) -> Self:
        """Return a mix of the named endings only.

        Args:
            weights: Weights by the name of the ending; all others are 0.

        Raises:
            ValueError: A weight is negative or not finite, or none is above 0.
        """
        return cls(**{ending.name: 0.0 for ending in fields(cls)} | weights)

    def weights(self) -> dict[str, float]:
        """Return the weights by the name of the ending."""
        return {ending.name: getattr(self, ending.name) for ending in fields(self)}


_MEDIAN_SECONDS: Final[Mapping[str, float]] = {
    "converted": 420,
    "appointment": 300,
    "interested": 240,
    "callback": 60,
    "not_interested": 90,
    "do_not_call": 30,
    "talked": 45,
}
"""Median talk times by outcome, ranked as in the recorded bank campaign: a yes talks longer."""


@dataclass(frozen=True)
class SeededPlan:
    """Random calls, drawn from a mix.

    Attributes:
        seed: Seed of the randomness.
        mix: Weights of the endings.
        recorded: Share, from 0 to 1, of the calls answered by a human that are recorded.
        price_per_minute: US dollars per started minute.
        callback_hours: Minimum and maximum interval between the end of a call and the callback
            that the person requests, in business hours.
    """

    seed: int = 0
    mix: Mix = field(default_factory=Mix)
    recorded: float = 0.0
    price_per_minute: Decimal = PRICE_PER_MINUTE
    callback_hours: tuple[float, float] = (2, 72)

    def __post_init__(self) -> None:
        if not 0 <= self.recorded <= 1:
            raise ValueError("recorded is a share: use a number from 0 to 1")
        weights = self.mix.weights()
        unallocated = weights.pop("unallocated")
        total = sum(weights.values())
        object.__setattr__(self, "_unallocated", unallocated / (unallocated + total))
        object.__setattr__(self, "_endings", tuple(weights))
        object.__setattr__(self, "_bounds", tuple(accumulate(weights.values())))

    _unallocated: float = field(init=False, repr=False, compare=False)
    _endings: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _bounds: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def script(self, request: CallRequest, nth: int) -> CallScript:
        if self._unallocated and chance(self.seed, request.to).random() < self._unallocated:
            return failed(404)
        random = chance(self.seed, request.to, nth)
        (ending,) = random.choices(self._endings, cum_weights=self._bounds)
        return self._ending(ending, random)

    def _ending(self, ending: str, random: Random) -> CallScript:
        setup = random.uniform(0.3, 2.0)
        match ending:
            case "no_answer":
                sip_code = random.choice((408, 480))
                return unanswered("no-answer", sip_code, setup=setup, ring=random.uniform(20, 40))
            case "busy":
                sip_code = random.choice((486, 486, 600))
                return unanswered("busy", sip_code, setup=setup, ring=random.uniform(0, 3))
            case "declined":
                return unanswered("busy", 603, setup=setup, ring=random.uniform(2, 12))
            case "carrier_failure":
                return failed(random.choice((500, 502, 503, 504)), setup=setup)
            case "voicemail":
                return answered(
                    random.randint(5, 40),
                    None,
                    answered_by=random.choice(_MACHINES),
                    setup=setup,
                    ring=random.uniform(15, 25),
                    price_per_minute=self.price_per_minute,
                )
            case _:
                return self._conversation(ending, random, setup)

    def _conversation(self, ending: str, random: Random, setup: float) -> CallScript:
        spread = random.lognormvariate(0, 0.6)
        callback_hours = random.uniform(*self.callback_hours) if ending == "callback" else None
        return answered(
            max(1, min(5400, round(_MEDIAN_SECONDS[ending] * spread))),
            None if ending == "talked" else ending,
            setup=setup,
            ring=random.uniform(3, 20),
            price_per_minute=self.price_per_minute,
            callback_after=None if callback_hours is None else callback_hours * _HOUR,
            recording_after=random.uniform(1, 10) if random.random() < self.recorded else None,
        )


class Recorded(NamedTuple):
    """History of one number in a recorded campaign.

    Attributes:
        attempts: Number of calls; only the last one was answered.
        duration: Duration of the last call, in seconds.
        outcome: Outcome of the last call.
    """

    attempts: int
    duration: int
    outcome: str


_NO_ANSWER: Final = unanswered("no-answer", 480)
_UNALLOCATED: Final = failed(404)
_HEADER: Final = ["e164", "attempts", "duration", "outcome"]


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Calls of a recorded campaign.

    Attributes:
        recorded: Histories by number, in E.164; all other numbers are unallocated.
    """

    recorded: Mapping[str, Recorded]

    def script(self, request: CallRequest, nth: int) -> CallScript:
        history = self.recorded.get(request.to)
        if history is None:
            return _UNALLOCATED
        if nth != history.attempts:
            return _NO_ANSWER
        return answered(history.duration, history.outcome)

    def save(self, path: Path) -> None:
        """Write the campaign to a CSV file that `load` reads."""
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(_HEADER)
            rows.writerows((e164, *history) for e164, history in self.recorded.items())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a campaign from a CSV file.

        Args:
            path: A file with the columns e164, attempts, duration and outcome.

        Raises:
            ValidationError: The file cannot be read; the message names the file and, if known,
                the line.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = csv.reader(file)
                if next(rows, None) != _HEADER:
                    raise ValidationError(f"{path}: the first line must be {','.join(_HEADER)}")
                return cls(dict(_parse_row(path, line, row) for line, row in enumerate(rows, 2)))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValidationError(f"{path}: {error}") from None


def _parse_row(path: Path, line: int, row: list[str]) -> tuple[str, Recorded]:
    try:
        e164, attempts, duration, outcome = row
        history = Recorded(int(attempts), int(duration), outcome)
    except ValueError:
        raise ValidationError(f"{path}: line {line} must be {','.join(_HEADER)}") from None
    if history.attempts < 1 or history.duration < 0:
        raise ValidationError(
            f"{path}: line {line} must have at least 1 attempt and a duration of 0 or more"
        )
    return e164, history
