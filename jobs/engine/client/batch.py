"""Jobs on their way to Redis in one script call, grouped by what they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.engine.client.job import Job
from jobs.engine.connection.script import pack


class Place(NamedTuple):
    """Where a job goes: its queue, and in how many ms it is due and expires."""

    queue: str
    delay: int
    expiry: int


@dataclass(slots=True)
class Group:
    """entries: id, payload, id, payload, …; numbers: which of the batch's jobs these are."""

    queue: str
    entries: list[str | bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class Batch:
    """What `enqueue_many.lua` is given, and what its answer means."""

    def __init__(self) -> None:
        self._jobs: list[Job | None] = []
        self._groups: dict[tuple[str, int, int, int], Group] = {}

    def group(self, place: Place, *, chosen: bool) -> Group:
        """The group of jobs that go there. chosen: the producer chose their ids."""
        return self._groups.setdefault(
            (place.queue, place.delay, place.expiry, int(chosen)), Group(place.queue)
        )

    def add(self, group: Group, payload: bytes, job: Job) -> None:
        group.entries += (job.job_id, payload)
        group.numbers.append(len(self._jobs))
        self._jobs.append(job)

    def packed(self) -> bytes:
        return pack([(*common, group.entries) for common, group in self._groups.items()])

    def answers(self, left_out: Sequence[Sequence[int]]) -> list[Job | None]:
        """The jobs in the order of their requests, None for those that were left out."""
        for group, positions in zip(self._groups.values(), left_out, strict=True):
            for position in positions:
                self._jobs[group.numbers[position]] = None
        return self._jobs
