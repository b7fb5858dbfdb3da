"""Jobs a second that one producer enqueues."""

from typing import Final

from benchmarks import lineup
from benchmarks.plan import Plan
from benchmarks.tables import Table, costs, median_run, per_s, ratio, raw_runs

MANY: Final = 200_000
GATHERED: Final = 10_000


def enqueuing(plan: Plan) -> list[Table]:
    """Ours by `enqueue_many`, and as arq's by many `enqueue_job` at once."""
    enqueue = plan.arena.enqueue
    runs = plan.in_turn(
        {
            "ours: enqueue_many": lambda _: enqueue(lineup.OURS, plan.count(MANY)),
            "ours: gathered enqueue_job": lambda _: enqueue(
                lineup.OURS_GATHERED, plan.count(GATHERED)
            ),
            "arq: gathered enqueue_job": lambda _: enqueue(lineup.ARQ_BEST, plan.count(GATHERED)),
        }
    )
    medians = {way: median_run(found) for way, found in runs.items()}
    first = next(iter(medians.values()))
    rows = [
        [way, per_s(run.per_s), ratio(first.per_s, run.per_s), *costs(run)]
        for way, run in medians.items()
    ]
    head = ["", "jobs", "enqueue_many to it", "CPU of the producer a job", "CPU of Redis a job"]
    return [Table("Enqueuing", "No worker runs meanwhile.", head, rows, raw_runs(runs))]
