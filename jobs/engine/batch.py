"""Jobs on their way to Redis in one script call, grouped by what they have in common."""

from collections.abc import Sequence

from jobs.engine.results import Job
from jobs.engine.scripts import pack


class Batch:
    """What `enqueue.lua` is given, and what its answer means."""

    def __init__(self) -> None:
        self._jobs: list[Job | None] = []
        self._groups: dict[tuple[str, int, int, int], tuple[list[str | bytes], list[int]]] = {}

    def add(self, group: tuple[str, int, int, int], entry: tuple[str, bytes], job: Job) -> None:
        """group: queue, delay, expiry, and 1 for an id that the producer chose."""
        known = self._groups.get(group)
        if known is None:
            known = self._groups[group] = ([], [])
        known[0].extend(entry)
        known[1].append(len(self._jobs))
        self._jobs.append(job)

    def packed(self) -> bytes:
        return pack([(*group, entries) for group, (entries, _) in self._groups.items()])

    def answers(self, left_out: Sequence[Sequence[int]]) -> list[Job | None]:
        """The jobs in the order of their requests, None for those that were left out."""
        for (_, numbers), positions in zip(self._groups.values(), left_out, strict=True):
            for position in positions:
                self._jobs[numbers[position]] = None
        return self._jobs
