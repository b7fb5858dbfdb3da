"""Batches: jobs that one script call enqueues, grouped by queue and times."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.engine.client.job import Job
from jobs.engine.connection.script import pack


class Destination(NamedTuple):
    """The queue and the times of a job.

    Attributes:
        queue: The queue's name.
        delay: Milliseconds until the job is due.
        expiry: Milliseconds until the job expires.
    """

    queue: str
    delay: int
    expiry: int


@dataclass(slots=True)
class Group:
    """Jobs with the same queue and times.

    Attributes:
        queue: The queue's name.
        entries: id, payload, id, payload, …
        numbers: The positions of the jobs in the batch.
    """

    queue: str
    entries: list[str | bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class Batch:
    """The argument of `enqueue_many.lua`, and the meaning of its reply."""

    def __init__(self) -> None:
        self._jobs: list[Job | None] = []
        self._groups: dict[tuple[str, int, int, int], Group] = {}

    def group(self, destination: Destination, *, chosen: bool) -> Group:
        """Return the group for a destination.

        Args:
            destination: The queue and the times.
            chosen: The producer chose the ids of the jobs.
        """
        key = (destination.queue, destination.delay, destination.expiry, int(chosen))
        return self._groups.setdefault(key, Group(destination.queue))

    def add(self, group: Group, payload: bytes, job: Job) -> None:
        """Add a job to a group."""
        group.entries += (job.job_id, payload)
        group.numbers.append(len(self._jobs))
        self._jobs.append(job)

    def packed(self) -> bytes:
        """Return the batch as one argument of the script."""
        return pack([(*common, group.entries) for common, group in self._groups.items()])

    def results(self, refused: Sequence[Sequence[int]]) -> list[Job | None]:
        """Return the jobs in the order of their requests, None for refused ones.

        Args:
            refused: The script's reply: positions in each group whose id is in use.
        """
        for group, positions in zip(self._groups.values(), refused, strict=True):
            for position in positions:
                self._jobs[group.numbers[position]] = None
        return self._jobs
