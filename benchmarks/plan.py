"""How much is measured, and who takes part."""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from benchmarks.arena import Arena, ContestantError
from benchmarks.lineup import Contestant

F = TypeVar("F")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Plan:
    """rounds: runs of each measurement. scale: by which the counts are multiplied. only: the
    modules of those who take part; all, where it is empty."""

    arena: Arena
    rounds: int = 3
    scale: float = 1.0
    only: Collection[str] = ()

    def count(self, jobs: int) -> int:
        return max(round(jobs * self.scale), 5)

    def contest(
        self, contestants: Iterable[Contestant], measure: Callable[[Contestant, int], F]
    ) -> dict[str, list[F]]:
        """What `measure(contestant, round)` found, by name, for those who take part."""
        taking_part = self.taking_part(contestants)
        return self.in_turn({one.name: partial(measure, one) for one in taking_part})

    def taking_part(self, contestants: Iterable[Contestant]) -> list[Contestant]:
        return [one for one in contestants if not self.only or one.module in self.only]

    def in_turn(self, ways: Mapping[K, Callable[[int], F]]) -> dict[K, list[F]]:
        """What each of `ways`, called with the number of the round, found: all of them in turn,
        round after round. One that fails is said so and left out from there on."""
        found: dict[K, list[F]] = {name: [] for name in ways}
        for number in range(self.rounds):
            for name in list(found):
                try:
                    found[name].append(ways[name](number))
                except ContestantError as error:
                    print(error, file=sys.stderr, flush=True)
                    del found[name]
        return found
