"""Contestants with their versions and settings, and the reason for each setting."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

Setting = tuple[int, Mapping[str, Any]]
"""Concurrency and options of a contestant."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A job library at one setting.

    Attributes:
        name: Name in the tables and the JSON results.
        module: Module in `benchmarks.contestants`.
        concurrency: Concurrent jobs, or batch size of a claim.
        count: Number of jobs that takes a few seconds to drain.
        why: Description of the setting.
        requirements: Pinned packages of its virtual environment; empty for this environment.
        options: Options for the module.
        producer: Module that enqueues, if it is not `module`.
        uvloop: Runs on uvloop if it is installed.
        tried: Settings that `python -m benchmarks settings` compares; the best is in use.
    """

    name: str
    module: str
    concurrency: int
    count: int
    why: str
    requirements: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    producer: str = ""
    uvloop: bool = True
    tried: tuple[Setting, ...] = ()

    @property
    def environment(self) -> str:
        """Folder name of the virtual environment."""
        return self.module.removeprefix("with_")

    @property
    def version(self) -> str:
        """Version of the library; empty if it runs in this environment."""
        return ", ".join(self.requirements[:1]).rpartition("==")[2]


OURS: Final = Contestant(
    "ours",
    "ours",
    1000,
    100_000,
    "JSON; leases, fencing, dead letters and outcome counters on; uvloop, as in `ringline worker`",
    tried=((100, {}), (250, {}), (500, {}), (1000, {}), (2000, {})),
)
OURS_STOCK_PRODUCER: Final = replace(OURS, name="ours, enqueued by arq", producer="stock_arq")
OURS_GATHERED: Final = replace(OURS, options={"gathered": True})
BARE_LOOP: Final = Contestant(
    "bare loop",
    "bare_loop",
    250,
    150_000,
    "two concurrent batches of 250",
    producer="ours",
    tried=((100, {}), (250, {}), (500, {})),
)
ARQ_100: Final = Contestant(
    "arq, max_jobs=100",
    "stock_arq",
    100,
    4_000,
    "JSON instead of pickle, else the defaults: it polls twice per second",
    uvloop=False,
)
ARQ_BEST: Final = Contestant(
    "arq at its best",
    "stock_arq",
    100,
    4_000,
    "JSON instead of pickle, no delay between polls",
    options={"poll_delay": 0},
    uvloop=False,
    tried=(
        (10, {"poll_delay": 0}),
        (30, {"poll_delay": 0.01}),
        (100, {"poll_delay": 0}),
        (1000, {"poll_delay": 0}),
        (3000, {}),
    ),
)
ARQ_UVLOOP: Final = replace(
    ARQ_BEST,
    name="arq at its best, on uvloop",
    why="the same, started on uvloop by a program; the arq command does not use uvloop",
    uvloop=True,
)
OURS_LOGGED: Final = replace(OURS, name="ours, one line a job", options={"log": True})
ARQ_LOGGED: Final = replace(
    ARQ_BEST, name="arq, two lines a job", options={**ARQ_BEST.options, "log": True}
)
SAQ: Final = Contestant(
    "SAQ",
    "with_saq",
    30,
    4_000,
    "orjson, hiredis, uvloop",
    (
        "saq[hiredis,redis]==0.26.4",
        "redis==7.4.1",
        "hiredis==3.5.0",
        "orjson==3.13.0",
        "typing-extensions==4.16.0",  # an undeclared dependency of saq
        "uvloop==0.23.0",
    ),
    tried=((10, {}), (30, {}), (100, {})),
)
STREAQ: Final = Contestant(
    "streaQ",
    "with_streaq",
    300,
    3_000,
    "uvloop, no log lines; it prefetches as many jobs as it runs concurrently",
    ("streaq==7.2.0", "coredis==6.9.0", "anyio==4.16.0", "uvloop==0.23.0"),
    tried=((16, {}), (100, {}), (300, {}), (100, {"prefetch": 500})),
)
TASKIQ: Final = Contestant(
    "taskiq-redis",
    "with_taskiq",
    100,
    5_000,
    "stream broker, which reads 100 at a time, 1,000 connections; orjson, hiredis, uvloop, "
    "arguments not parsed",
    (
        "taskiq==0.13.0",
        "taskiq-redis==1.2.4",
        "redis==8.1.0",
        "hiredis==3.5.0",
        "orjson==3.13.0",
        "uvloop==0.23.0",
    ),
    {"stream": True},
    tried=(
        (10, {"stream": True}),
        (100, {"stream": True}),
        (100, {"stream": True, "prefetch": 100}),
        (100, {}),
    ),
)
CELERY: Final = Contestant(
    "Celery",
    "with_celery",
    8,
    3_000,
    "8 threads, unlimited prefetch; no gossip, mingle, heartbeat or rate limits",
    ("celery[redis]==5.7.0", "kombu==5.7.0", "redis==8.1.0", "hiredis==3.5.0"),
    {"pool": "threads"},
    tried=(
        (1, {"pool": "solo"}),
        (1, {"pool": "prefork"}),
        (1, {"pool": "prefork", "prefetch": 100}),
        (8, {"pool": "threads"}),
    ),
)
DRAMATIQ: Final = Contestant(
    "Dramatiq",
    "with_dramatiq",
    8,
    10_000,
    "8 threads; it prefetches twice as many jobs",
    ("dramatiq[redis]==2.2.1", "redis==8.1.0", "hiredis==3.5.0"),
    tried=((4, {}), (8, {}), (32, {}), (8, {"prefetch": 200})),
)
DOCKET: Final = Contestant(
    "docket",
    "with_docket",
    100,
    4_000,
    "checks for free capacity every 10 ms instead of 250, 1,000 connections; hiredis, uvloop; a "
    "result of None is not stored, but the task's record is kept",
    ("pydocket==0.27.0", "redis==8.1.0", "hiredis==3.5.0", "uvloop==0.23.0"),
    {"check_ms": 10},
    tried=(
        (50, {"check_ms": 10}),
        (100, {"check_ms": 10}),
        (200, {"check_ms": 10}),
        (100, {"check_ms": 1}),
        (100, {}),
    ),
)
BLPOP: Final = Contestant("bare BLPOP", "blpop", 1, 1, "a Redis list and one blocking client")

COROUTINE_PEERS: Final = (ARQ_BEST, SAQ, STREAQ, TASKIQ, DOCKET)
ALL: Final = (OURS, BARE_LOOP, ARQ_100, ARQ_UVLOOP, *COROUTINE_PEERS, CELERY, DRAMATIQ)
