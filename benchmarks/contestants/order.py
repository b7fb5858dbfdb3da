"""What a contestant's process is told to do."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """role: `work`, `produce` or `ping`. pipe: file descriptor to report to. every: one report for
    so many jobs. job: `noop`, `wait` or `stamp`. concurrency: jobs at once. results: whether they
    are kept. gap: most seconds between two pings. options: the contestant's own. uvloop: whether
    to run on it, where it is installed."""

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

    def written(self) -> str:
        return json.dumps(asdict(self))

    def batches(self, size: int) -> Iterator[int]:
        """The jobs to produce, by the batch."""
        for start in range(0, self.count, size):
            yield min(size, self.count - start)

    async def moments(self) -> AsyncIterator[int]:
        """`count` moments, at random; each is the time for a `stamp`, which is to be sent now."""
        chance = random.Random(self.seed)
        for _ in range(self.count):
            await asyncio.sleep(chance.uniform(0, self.gap))
            yield time.monotonic_ns()
