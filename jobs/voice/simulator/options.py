"""The options of a simulator's URL, such as `simulator:?seed=7&no_answer=0.4&late=0.1`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from jobs.voice.simulator.faults import Disorder, Trouble
from jobs.voice.simulator.plan import Mix, Plan, ReplayPlan, SeededPlan

_MIX: Final = frozenset(field.name for field in fields(Mix))
_DISORDER: Final = frozenset(field.name for field in fields(Disorder))
_TROUBLE: Final = frozenset(field.name for field in fields(Trouble))
_OTHER: Final = frozenset({"seed", "recorded", "spacing", "replay"})


@dataclass(frozen=True, slots=True)
class Options:
    """How the simulator of a process is set up.

    disorder and trouble are None where no fault was asked for; spacing: see Simulator.
    """

    plan: Plan
    seed: int
    disorder: Disorder | None
    trouble: Trouble | None
    spacing: float


def parse_options(query: str) -> Options:
    """Options by name: those of Mix, Disorder and Trouble, `seed`, `recorded`, `spacing`, and
    `replay`, the path of a recorded campaign.

    Raises ValueError naming the option, and ValidationError for a bad replay file.
    """
    given: dict[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    known = _MIX | _DISORDER | _TROUBLE | _OTHER
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"unknown option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    replay = given.pop("replay", None)
    seed = _seed(given.pop("seed", "0"))
    numbers = {name: _number(name, text) for name, text in given.items()}
    spacing = numbers.get("spacing", 0.05)
    if not 0 <= spacing < float("inf"):
        raise ValueError("spacing is a number of seconds, at least 0")
    disorder = {name: value for name, value in numbers.items() if name in _DISORDER}
    trouble = {name: value for name, value in numbers.items() if name in _TROUBLE}
    mix = {name: value for name, value in numbers.items() if name in _MIX}
    plan: Plan
    if replay is not None:
        if mix or "recorded" in numbers:
            raise ValueError("replay leaves nothing to a mix, nor to recorded")
        plan = ReplayPlan.load(Path(replay))
    else:
        plan = SeededPlan(seed, Mix(**mix), numbers.get("recorded", 0.0))
    return Options(
        plan,
        seed,
        Disorder(**disorder) if disorder else None,
        Trouble(**trouble) if trouble else None,
        spacing,
    )


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"seed is not a whole number: {text!r}") from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is not a number: {text!r}") from None
