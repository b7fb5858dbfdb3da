"""Jobs that one producer enqueues per second."""

from typing import Final

from benchmarks import lineup
from benchmarks.plan import Plan
from benchmarks.tables import Table, costs, median_run, per_s, ratio, raw_runs

MANY: Final = 200_000
GATHERED: Final = 10_000


def enqueuing(plan: Plan) -> list[Table]:
    """Measure `enqueue_many` against concurrent `enqueue_job` calls, ours and arq's.

    Args:
        plan: Rounds and scale of the run.

    Returns:
        One table.
    """
    enqueue = plan.arena.enqueue
    runs = plan.run_rounds(
        {
            "ours: enqueue_many": lambda _: enqueue(lineup.OURS, plan.count(MANY)),
            "ours: gathered enqueue_job": lambda _: enqueue(
                lineup.OURS_GATHERED, plan.count(GATHERED)
            ),
            "arq: gathered enqueue_job": lambda _: enqueue(lineup.ARQ_BEST, plan.count(GATHERED)),
        }
    )
    medians = {method: median_run(found) for method, found in runs.items()}
    first = next(iter(medians.values()))
    rows = [
        [method, per_s(run.per_s), ratio(first.per_s, run.per_s), *costs(run)]
        for method, run in medians.items()
    ]
    head = ["", "jobs", "enqueue_many vs. it", "producer CPU per job", "Redis CPU per job"]
    return [Table("Enqueuing", "No worker is running.", head, rows, raw_runs(runs))]
