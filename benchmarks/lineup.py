"""Who takes part, in which version, at which setting, and why at that one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Contestant:
    """module: of benchmarks.contestants. requirements: of its own environment; none: this one.
    concurrency: jobs at once, or claimed at once. count: jobs that it drains in some seconds.
    options: for its module. producer: the module that enqueues. why: the choice of the setting."""

    name: str
    module: str
    concurrency: int
    count: int
    why: str
    requirements: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    producer: str = ""

    @property
    def environment(self) -> str:
        """The folder of its environment."""
        return self.module.removeprefix("with_")


OURS: Final = Contestant(
    "ours",
    "ours",
    1000,
    100_000,
    "leases, fencing, dead letters and counters on; JSON",
)
OURS_STOCK_PRODUCER: Final = Contestant(
    "ours, enqueued by arq",
    "ours",
    1000,
    100_000,
    "the jobs come from arq's own pool",
    producer="stock_arq",
)
BARE_LOOP: Final = Contestant(
    "bare loop",
    "bare_loop",
    250,
    150_000,
    "the best of 100, 250, 500 a batch",
    producer="ours",
)
ARQ_100: Final = Contestant(
    "arq, max_jobs=100",
    "stock_arq",
    100,
    3_000,
    "otherwise its defaults, so it polls twice a second; JSON for pickle",
)
ARQ_BEST: Final = Contestant(
    "arq at its best",
    "stock_arq",
    100,
    5_000,
    "no pause between polls; JSON for pickle",
    options={"poll_delay": 0},
)
BLPOP: Final = Contestant(
    "bare BLPOP", "blpop", 1, 1, "a list in Redis, and one client that waits for it"
)
