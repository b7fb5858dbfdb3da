"""TODO."""

from collections.abc import Sequence
from typing import Protocol

from jobs.engine.queue.claim import Claim


class Capacity(Protocol):
    """The side of a worker that runs what is claimed."""

    burst: bool
    lease: float

    def free(self) -> int:
        """How many jobs may be started now."""
        ...

    def idle(self) -> bool:
        """Whether nothing runs, and a job would be started."""
        ...

    def claims_ahead(self) -> bool:
        """Whether more may be claimed than can be started."""
        ...

    def burst_is_over(self) -> bool:
        """Whether a burst has had the jobs that it may have."""
        ...

    def start(self, claims: Sequence[Claim]) -> None:
        """Start what was claimed."""
        ...

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Put back what was claimed, as it was."""
        ...
