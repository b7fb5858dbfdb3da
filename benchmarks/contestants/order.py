"""Role and parameters of a contestant's process."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """Role and parameters of one process.

    Attributes:
        role: `work`, `produce`, `ping` or `defer`.
        url: URL of the Redis server.
        pipe: File descriptor to report to.
        every: Number of jobs per report.
        job: `noop`, `wait` or `stamp`.
        count: Number of jobs to enqueue.
        concurrency: Maximum concurrent jobs.
        results: Keep the jobs' results.
        gap: Maximum interval between two pings, in seconds.
        seed: Seed of the intervals.
        options: Options of the contestant's module.
        uvloop: Run on uvloop if it is installed.
    """

    role: str
    url: str
    pipe: int = -1
    every: int = 1
    job: str = "noop"
    count: int = 0
    concurrency: int = 100
    results: bool = True
    gap: float = 0.5
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    uvloop: bool = True

    def to_json(self) -> str:
        """Return the order as JSON text, the argument of the process."""
        return json.dumps(asdict(self))

    def batches(self, size: int) -> Iterator[int]:
        """Divide the jobs to enqueue into batches.

        Args:
            size: Maximum size of a batch.

        Returns:
            Sizes of the batches.
        """
        for start in range(0, self.count, size):
            yield min(size, self.count - start)

    async def send_times(self) -> AsyncIterator[int]:
        """Sleep for a random interval before each of `count` pings.

        Returns:
            Monotonic time of each ping in nanoseconds, the argument of the job `stamp`.
        """
        rng = random.Random(self.seed)
        for _ in range(self.count):
            await asyncio.sleep(rng.uniform(0, self.gap))
            yield time.monotonic_ns()
