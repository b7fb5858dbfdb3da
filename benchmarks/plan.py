"""Plan of a run: rounds, scale, and the contestants that take part."""

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
    """Parameters of a run.

    Attributes:
        arena: Runs the contestants.
        rounds: Runs of each measurement.
        scale: Factor for all job counts.
        only: Modules of the contestants that take part; empty for all.
    """

    arena: Arena
    rounds: int = 3
    scale: float = 1.0
    only: Collection[str] = ()

    def count(self, jobs: int) -> int:
        """Scale a number of jobs.

        Args:
            jobs: Number at scale 1.

        Returns:
            The scaled number, at least 5.
        """
        return max(round(jobs * self.scale), 5)

    def contest(
        self, contestants: Iterable[Contestant], measure: Callable[[Contestant, int], F]
    ) -> dict[str, list[F]]:
        """Measure each selected contestant in every round.

        Args:
            contestants: Candidates.
            measure: Called with a contestant and the number of the round.

        Returns:
            Name of each contestant: the results of its rounds.
        """
        return self.run_rounds(
            {item.name: partial(measure, item) for item in self.select(contestants)}
        )

    def select(self, contestants: Iterable[Contestant]) -> list[Contestant]:
        """Return the contestants that take part.

        Args:
            contestants: Candidates.

        Returns:
            The candidates that `only` allows.
        """
        return [item for item in contestants if not self.only or item.module in self.only]

    def run_rounds(self, measurements: Mapping[K, Callable[[int], F]]) -> dict[K, list[F]]:
        """Run all measurements one after the other, round by round.

        A measurement that fails is reported on stderr and left out of the results.

        Args:
            measurements: Called with the number of the round.

        Returns:
            Key of each measurement: the results of its rounds.
        """
        found: dict[K, list[F]] = {name: [] for name in measurements}
        for number in range(self.rounds):
            for name in list(found):
                try:
                    found[name].append(measurements[name](number))
                except ContestantError as error:
                    print(error, file=sys.stderr, flush=True)
                    del found[name]
        return found
