"""Runs the benchmarks and prints the results as Markdown.

The contestants run one after the other, each in its own processes, on a Redis server started for
the run. Figures are medians over the rounds. Results from a busy machine are not reliable.
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
from benchmarks.tables import Table, contestants_table, replace_tables
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
"""Measurements that run only on request."""


def main() -> None:
    """Run the measurements named on the command line."""
    arguments = _parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that cleanup runs
    found: dict[str, list[Table]] = {}
    with server.running() as redis:
        plan = Plan(Arena(redis), arguments.rounds, arguments.scale, arguments.only)
        about = _describe_run(redis.version(), arguments.rounds)
        found["contestants"] = [contestants_table(plan.select(lineup.ALL))]
        print(f"{about}\n\n{found['contestants'][0].markdown()}", flush=True)
        for name in arguments.names or MEASUREMENTS:
            started = time.monotonic()
            found[name] = (MEASUREMENTS | EXTRA)[name](plan)
            for table in found[name]:
                print("\n" + table.markdown(), flush=True)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            _save(arguments, about, found)


def _save(arguments: argparse.Namespace, about: str, found: Mapping[str, Sequence[Table]]) -> None:
    """Write the results so far; a run takes long and may be interrupted."""
    if arguments.update:
        tables = "\n".join(table.markdown() for tables in found.values() for table in tables)
        text = replace_tables(arguments.update.read_text(), f"{about}\n\n{tables}")
        arguments.update.write_text(text)
    if arguments.json:
        raw = {name: {table.title: table.raw for table in tables} for name, tables in found.items()}
        arguments.json.write_text(json.dumps(raw, indent=1) + "\n")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    every = ", ".join(MEASUREMENTS | EXTRA)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"measurements; default: all but the last of {every}",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds; figures are medians over them"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="factor for all job counts")
    parser.add_argument(
        "--only",
        type=lambda words: words.split(","),
        default=(),
        metavar="MODULE,…",
        help="modules of the contestants; default: all",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="file to write every run's raw figures to"
    )
    parser.add_argument(
        "--update", type=Path, metavar="FILE", help="Markdown file whose tables to replace"
    )
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in MEASUREMENTS | EXTRA:
            parser.error(f"unknown measurement {name!r}: choose from {every}")
    if arguments.update:
        try:
            replace_tables(arguments.update.read_text(), "")
        except (OSError, ValueError) as error:
            parser.error(f"--update {arguments.update}: {error}")
    return arguments


def _describe_run(redis: str, rounds: int) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({platform.machine()}), "
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {redis}, "
        f"{rounds} rounds"
    )


if __name__ == "__main__":
    main()
