"""Measures, and prints what it found as Markdown.

Each contestant runs in processes of its own, in turn, on one Redis that is started for it; figures
are medians over the rounds. On a machine that is busy with other work they are worth little.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import lineup, server
from benchmarks.arena import Arena
from benchmarks.depth import depth
from benchmarks.enqueuing import enqueuing
from benchmarks.idle import idle
from benchmarks.latency import latency
from benchmarks.plan import Plan
from benchmarks.tables import Table, introduced, updated
from benchmarks.throughput import drain, live, logging, scaling, settings, waiting

Measurement = Callable[[Plan], list[Table]]

MEASUREMENTS: Final[dict[str, Measurement]] = {
    "drain": drain,
    "live": live,
    "enqueue": enqueuing,
    "latency": latency,
    "io": waiting,
    "scaling": scaling,
    "logging": logging,
    "depth": depth,
    "idle": idle,
}
EXTRA: Final[dict[str, Measurement]] = {"settings": settings}
"""What is measured only when it is asked for."""


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    found: dict[str, list[Table]] = {}
    with server.running() as redis:
        plan = Plan(Arena(redis), given.rounds, given.scale, given.only)
        about = _about(redis.version(), given.rounds)
        found["contestants"] = [introduced(plan.taking_part(lineup.ALL))]
        print(f"{about}\n\n{found['contestants'][0].markdown()}", flush=True)
        for name in given.names or MEASUREMENTS:
            began = time.monotonic()
            found[name] = (MEASUREMENTS | EXTRA)[name](plan)
            for table in found[name]:
                print("\n" + table.markdown(), flush=True)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            _keep(given, about, found)


def _keep(given: argparse.Namespace, about: str, found: Mapping[str, Sequence[Table]]) -> None:
    """Write what was found so far: the run is long."""
    if given.update:
        tables = "\n".join(table.markdown() for tables in found.values() for table in tables)
        given.update.write_text(updated(given.update.read_text(), f"{about}\n\n{tables}"))
    if given.json:
        raw = {name: {table.title: table.raw for table in tables} for name, tables in found.items()}
        given.json.write_text(json.dumps(raw, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    every = ", ".join(MEASUREMENTS | EXTRA)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"by default all but the last: {every}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of which the median")
    parser.add_argument("--scale", type=float, default=1.0, help="by which the counts are taken")
    parser.add_argument("--only", type=lambda words: words.split(","), default=(),
                        metavar="MODULE,…", help="who takes part, by default all")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="where each run is written")
    parser.add_argument("--update", type=Path, metavar="FILE",
                        help="a Markdown file whose tables are replaced")  # fmt: skip
    given = parser.parse_args()
    for name in given.names:
        if name not in MEASUREMENTS | EXTRA:
            parser.error(f"there is no measurement {name!r}: {every}")
    if given.update:
        try:
            updated(given.update.read_text(), "")
        except (OSError, ValueError) as error:
            parser.error(f"--update {given.update}: {error}")
    return given


def _about(redis: str, rounds: int) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({platform.machine()}), "
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {redis}, "
        f"{rounds} rounds"
    )


if __name__ == "__main__":
    main()
