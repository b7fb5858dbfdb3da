"""What happens to each call: pure functions of a seed, the number and how often it was dialled."""

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
    """Decides what happens to each call."""

    def script(self, request: CallRequest, nth: int) -> CallScript:
        """The life of the nth call (from 1) that the provider has taken to this number.

        Pure: asked again, it answers the same.
        """
        ...


@dataclass(frozen=True, slots=True)
class Mix:
    """How calls end, as weights; those from `converted` on are calls that a human answered.

    unallocated is the weight of numbers that do not exist: those fail at every call.
    talked: a human answered, and nothing came of it.
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
            raise ValueError("the weights of a mix are numbers of at least 0, and not all 0")

    @classmethod
    def only(cls, **weights: float) -> Self:
        """A mix in which all that is not named never happens."""
        return cls(**{name.name: 0.0 for name in fields(cls)} | weights)

    def weights(self) -> dict[str, float]:
        return {name.name: getattr(self, name.name) for name in fields(self)}


_MEDIAN_SECONDS: Final[Mapping[str, float]] = {
    "converted": 420,
    "appointment": 300,
    "interested": 240,
    "callback": 60,
    "not_interested": 90,
    "do_not_call": 30,
    "talked": 45,
}
"""Typical talking times; those of the bank campaign differ between yes and no in the same way."""


@dataclass(frozen=True)
class SeededPlan:
    """Made-up calls, after a mix.

    recorded: the share of calls answered by a human of which a recording is made.
    callback_hours: after how long people ask to be called back, at least and at most.
    """

    seed: int = 0
    mix: Mix = field(default_factory=Mix)
    recorded: float = 0.0
    price_per_minute: Decimal = PRICE_PER_MINUTE
    callback_hours: tuple[float, float] = (2, 72)

    def __post_init__(self) -> None:
        if not 0 <= self.recorded <= 1:
            raise ValueError("recorded is a share, from 0 to 1")
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
    """What a recorded campaign says of one number."""

    attempts: int
    """Calls made; all but the last were not answered."""
    duration: int
    """Seconds of the last."""
    outcome: str
    """Of the last."""


_NO_ANSWER: Final = unanswered("no-answer", 480)
_UNALLOCATED: Final = failed(404)
_HEADER: Final = ["e164", "attempts", "duration", "outcome"]


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A recorded campaign, by number; a number that is not in it does not exist."""

    recorded: Mapping[str, Recorded]

    def script(self, request: CallRequest, nth: int) -> CallScript:
        known = self.recorded.get(request.to)
        if known is None:
            return _UNALLOCATED
        if nth != known.attempts:
            return _NO_ANSWER
        return answered(known.duration, known.outcome)

    def save(self, path: Path) -> None:
        """Writes the campaign for `load`, which another process may call."""
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(_HEADER)
            rows.writerows((e164, *recorded) for e164, recorded in self.recorded.items())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a file of the columns e164, attempts, duration, outcome.

        Raises ValidationError naming the file, and the line where that is known.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = csv.reader(file)
                if next(rows, None) != _HEADER:
                    raise ValidationError(f"{path}: the first line must be {','.join(_HEADER)}")
                return cls(dict(_recorded(path, line, row) for line, row in enumerate(rows, 2)))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValidationError(f"{path}: {error}") from None


def _recorded(path: Path, line: int, row: list[str]) -> tuple[str, Recorded]:
    try:
        e164, attempts, duration, outcome = row
        recorded = Recorded(int(attempts), int(duration), outcome)
    except ValueError:
        raise ValidationError(f"{path}: line {line} is not {','.join(_HEADER)}") from None
    if recorded.attempts < 1 or recorded.duration < 0:
        raise ValidationError(f"{path}: line {line} has no attempt, or a negative duration")
    return e164, recorded
