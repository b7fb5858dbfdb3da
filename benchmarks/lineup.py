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
SAQ: Final = Contestant(
    "SAQ",
    "with_saq",
    100,
    5_000,
    "",
    requirements=(
        "saq[hiredis,redis]==0.26.4",
        "redis==7.4.1",
        "hiredis==3.5.0",
        "orjson==3.13.0",
        "typing_extensions==4.16.0",
        "uvloop==0.23.0",
    ),
)
STREAQ: Final = Contestant(
    "streaQ",
    "with_streaq",
    100,
    4_000,
    "",
    requirements=("streaq==7.2.0", "coredis==6.9.0", "uvloop==0.23.0"),
)
TASKIQ: Final = Contestant(
    "taskiq-redis",
    "with_taskiq",
    100,
    5_000,
    "",
    requirements=(
        "taskiq[orjson]==0.13.0",
        "taskiq-redis==1.2.4",
        "redis==8.1.0",
        "hiredis==3.5.0",
        "orjson==3.13.0",
        "uvloop==0.23.0",
    ),
)
CELERY: Final = Contestant(
    "Celery",
    "with_celery",
    1,
    4_000,
    "",
    requirements=("celery[redis]==5.7.0", "kombu==5.7.0", "redis==8.1.0", "hiredis==3.5.0"),
)
DRAMATIQ: Final = Contestant(
    "Dramatiq",
    "with_dramatiq",
    8,
    10_000,
    "",
    requirements=("dramatiq[redis]==2.2.1", "redis==8.1.0", "hiredis==3.5.0"),
)
DOCKET: Final = Contestant(
    "docket",
    "with_docket",
    100,
    4_000,
    "",
    requirements=("pydocket==0.27.0", "redis==8.1.0", "hiredis==3.5.0", "uvloop==0.23.0"),
)
