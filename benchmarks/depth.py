"""Cost per job in a long queue, and memory of the worker."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Final

from benchmarks import lineup
from benchmarks.arena import Reading, Run
from benchmarks.plan import Plan
from benchmarks.tables import Table, costs, median_run, per_s, raw_runs

LONG_QUEUE: Final = 1_000_000
DEFERRED: Final = 100_000
MARKS: Final = (1.0, 0.9, 0.5, 0.1, 0.01, 0.001)
"""Shares of the queue that are left when a reading is taken."""


def depth(plan: Plan) -> list[Table]:
    """Measure a long queue, drained once, and a shorter queue with many deferred jobs.

    Args:
        plan: Rounds and scale of the run.

    Returns:
        Tables of the cost by queue length, of the worker's memory, and of deferred jobs.
    """
    return [*_long_queue(plan), _with_deferred(plan)]


def _long_queue(plan: Plan) -> list[Table]:
    ours, arena = lineup.OURS, plan.arena
    count = plan.count(LONG_QUEUE)
    every = max(count // 1000, 1)
    order = arena.order(ours, every=every)
    marks = [round(count * share) for share in MARKS]
    readings: dict[int, Reading] = {}
    memory: dict[int, int] = {}
    with arena.team(ours) as team:
        arena.produce(ours, replace(order, role="produce", count=count))
        team.start(ours, ours.module, order)
        while len(readings) < len(marks):
            report = team.report()
            left = count - report.value
            if left <= marks[len(readings)]:
                readings[left] = arena.reading(team, report)
            if not report.value % max(count // 10, 1):
                memory[report.value] = team.rss()
        memory[report.value] = team.rss()
    bands = {
        f"{more:,} to {less:,}": readings[less].run_since(readings[more])
        for more, less in pairwise(readings)
    }
    rows = [[band, per_s(run.per_s), *costs(run)] for band, run in bands.items()]
    head = ["in the queue", "jobs", "worker CPU per job", "Redis CPU per job"]
    note = f"{count:,} no-op jobs, one worker process, results kept; one run."
    return [
        Table("Depth of the queue", note, head, rows, raw_runs({b: [r] for b, r in bands.items()})),
        Table(
            "Memory of the worker",
            note,
            ["jobs done", "resident"],
            [[f"{done:,}", f"{size / 1e6:,.1f} MB"] for done, size in memory.items()],
            {str(done): size for done, size in memory.items()},
        ),
    ]


def _with_deferred(plan: Plan) -> Table:
    ours, deferred = lineup.OURS, plan.count(DEFERRED)

    def measure(deferred: int, _: int) -> Run:
        return plan.arena.drain(ours, plan.count(ours.count), deferred=deferred)

    runs = plan.run_rounds({f"{number:,}": partial(measure, number) for number in (0, deferred)})
    medians = {number: median_run(found) for number, found in runs.items()}
    rows = [[number, per_s(run.per_s), *costs(run)] for number, run in medians.items()]
    head = ["deferred jobs in the queue", "jobs", "worker CPU per job", "Redis CPU per job"]
    note = "No-op jobs, one worker process, results kept."
    return Table("Deferred jobs in the queue", note, head, rows, raw_runs(runs))
