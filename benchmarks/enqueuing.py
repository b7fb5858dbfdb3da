"""Jobs a second that one producer enqueues."""

from dataclasses import replace
from typing import Final

from benchmarks import lineup
from benchmarks.arena import Run
from benchmarks.lineup import Contestant
from benchmarks.plan import Plan
from benchmarks.tables import Table, costs, median_run, per_s, ratio, raw_runs

WAYS: Final = {
    "ours: enqueue_many": replace(lineup.OURS, count=200_000),
    "arq: gathered enqueue_job": replace(lineup.ARQ_BEST, count=10_000),
}


def enqueuing(plan: Plan) -> list[Table]:
    """Ours by `enqueue_many`, arq's by many `enqueue_job` at once."""

    def measure(one: Contestant, _: int) -> Run:
        return plan.arena.enqueue(one, plan.count(one.count))

    runs = plan.in_turn(WAYS, measure)
    medians = {way: median_run(found) for way, found in runs.items()}
    first = next(iter(medians.values()))
    rows = [
        [way, per_s(run.per_s), ratio(first.per_s, run.per_s), *costs(run)]
        for way, run in medians.items()
    ]
    head = ["", "jobs", "ours to it", "CPU of the producer a job", "CPU of Redis a job"]
    return [Table("Enqueuing", "No worker runs meanwhile.", head, rows, raw_runs(runs))]
