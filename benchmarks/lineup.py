"""Who takes part, in which version, at which setting, and why at that one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

Setting = tuple[int, Mapping[str, Any]]
"""Concurrency and options."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """module: of benchmarks.contestants. concurrency: jobs at once, or claimed at once. count:
    jobs that it drains in some seconds. why: that setting. requirements: of its own environment;
    none: this one. options: for its module. producer: the module that enqueues, if another one.
    uvloop: whether it runs on it, where it is installed. tried: the settings of which the best was
    taken, for `python -m benchmarks settings`."""

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
        """The folder of its environment."""
        return self.module.removeprefix("with_")

    @property
    def version(self) -> str:
        """Of the library, where that is not part of this project's own environment."""
        return ", ".join(self.requirements[:1]).rpartition("==")[2]


OURS: Final = Contestant(
    "ours",
    "ours",
    1000,
    100_000,
    "JSON; leases, fencing, dead letters and outcome counters are on; uvloop, as in `ringline worker`",
    tried=((100, {}), (250, {}), (500, {}), (1000, {}), (2000, {})),
)
OURS_STOCK_PRODUCER: Final = replace(OURS, name="ours, enqueued by arq", producer="stock_arq")
OURS_GATHERED: Final = replace(OURS, options={"gathered": True})
BARE_LOOP: Final = Contestant(
    "bare loop",
    "bare_loop",
    250,
    150_000,
    "two batches of 250 at once",
    producer="ours",
    tried=((100, {}), (250, {}), (500, {})),
)
ARQ_100: Final = Contestant(
    "arq, max_jobs=100",
    "stock_arq",
    100,
    4_000,
    "JSON in place of pickle, the rest as it is by default: it polls twice a second",
    uvloop=False,
)
ARQ_BEST: Final = Contestant(
    "arq at its best",
    "stock_arq",
    100,
    4_000,
    "JSON in place of pickle, no pause between polls",
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
    why="the same, in a program that starts its worker on uvloop; its own command does not",
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
        "typing-extensions==4.16.0",  # it needs it, but does not ask for it
        "uvloop==0.23.0",
    ),
    tried=((10, {}), (30, {}), (100, {})),
)
STREAQ: Final = Contestant(
    "streaQ",
    "with_streaq",
    300,
    3_000,
    "uvloop, no log lines; it prefetches as many as it runs at once",
    ("streaq==7.2.0", "coredis==6.9.0", "anyio==4.16.0", "uvloop==0.23.0"),
    tried=((16, {}), (100, {}), (300, {}), (100, {"prefetch": 500})),
)
TASKIQ: Final = Contestant(
    "taskiq-redis",
    "with_taskiq",
    100,
    5_000,
    "its stream, which takes 100 at a time, 1,000 connections; orjson, hiredis, uvloop, arguments "
    "not parsed",
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
    "8 threads, prefetching without limit; no gossip, mingle, heartbeat, rate limits",
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
    "8 threads; it prefetches twice as many",
    ("dramatiq[redis]==2.2.1", "redis==8.1.0", "hiredis==3.5.0"),
    tried=((4, {}), (8, {}), (32, {}), (8, {"prefetch": 200})),
)
DOCKET: Final = Contestant(
    "docket",
    "with_docket",
    100,
    4_000,
    "looks for free slots every 10 ms instead of 250, 1,000 connections; hiredis, uvloop; a result "
    "of None is not stored, but the task's record is kept",
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
BLPOP: Final = Contestant(
    "bare BLPOP", "blpop", 1, 1, "a list in Redis, and one client that waits for it"
)

COROUTINE_PEERS: Final = (ARQ_BEST, SAQ, STREAQ, TASKIQ, DOCKET)
ALL: Final = (OURS, BARE_LOOP, ARQ_100, ARQ_UVLOOP, *COROUTINE_PEERS, CELERY, DRAMATIQ)
