"""Options in a simulator's URL, such as `simulator:?seed=7&no_answer=0.4&late=0.1`."""

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
    """Options of a simulator.

    Attributes:
        plan: Scripts of the calls.
        seed: Seed of the faults.
        disorder: Faults of callbacks; None for no faults.
        trouble: Faults of requests; None for no faults.
        spacing: Minimum interval between batches of callbacks, in real seconds.
    """

    plan: Plan
    seed: int
    disorder: Disorder | None
    trouble: Trouble | None
    spacing: float


def parse_options(query: str) -> Options:
    """Parse the query string of a simulator's URL.

    Args:
        query: Options by name: the fields of `Mix`, `Disorder` and `Trouble`; `seed`, `recorded`
            and `spacing`; or `replay`, the path of a recorded campaign, instead of a mix.

    Raises:
        ValueError: An option is unknown or has a bad value; the message names the option.
        ValidationError: The replay file cannot be read.
    """
    options: dict[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    known = _MIX | _DISORDER | _TROUBLE | _OTHER
    if unknown := sorted(options.keys() - known):
        raise ValueError(f"unknown option {unknown[0]!r}: use one of {', '.join(sorted(known))}")
    replay = options.pop("replay", None)
    seed = _seed(options.pop("seed", "0"))
    numbers = {name: _number(name, text) for name, text in options.items()}
    spacing = numbers.get("spacing", 0.05)
    if not 0 <= spacing < float("inf"):
        raise ValueError("spacing is a number of seconds: use 0 or more")
    disorder = {name: value for name, value in numbers.items() if name in _DISORDER}
    trouble = {name: value for name, value in numbers.items() if name in _TROUBLE}
    mix = {name: value for name, value in numbers.items() if name in _MIX}
    plan: Plan
    if replay is not None:
        if mix or "recorded" in numbers:
            raise ValueError(
                "replay cannot be combined with a mix or with recorded: leave them out"
            )
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
        raise ValueError(f"seed is not an integer: {text!r}") from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is not a number: {text!r}") from None
