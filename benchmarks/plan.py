"""How much is measured, and who takes part."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.arena import Arena, ContestantError
from benchmarks.lineup import Contestant

F = TypeVar("F")


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

    def in_turn(
        self,
        contestants: Mapping[str, Contestant] | Sequence[Contestant],
        measure: Callable[[Contestant, int], F],
    ) -> dict[str, list[F]]:
        """What `measure(contestant, round)` found, by name: each contestant in turn, round after
        round. One that fails is said so and left out from there on."""
        if not isinstance(contestants, Mapping):
            contestants = {one.name: one for one in contestants}
        taking_part = {
            name: one
            for name, one in contestants.items()
            if not self.only or one.module in self.only
        }
        found: dict[str, list[F]] = {name: [] for name in taking_part}
        for number in range(self.rounds):
            for name in list(found):
                try:
                    found[name].append(measure(taking_part[name], number))
                except ContestantError as error:
                    print(error, file=sys.stderr, flush=True)
                    del found[name]
        return found
