"""Time from enqueue to start of a job in an idle worker."""

from itertools import chain
from typing import Final

from benchmarks import lineup
from benchmarks.lineup import Contestant
from benchmarks.plan import Plan
from benchmarks.tables import Table, milliseconds, percentile

PINGS: Final = 40
"""Jobs per round at scale 1."""
CONTESTANTS: Final = (
    lineup.OURS,
    lineup.OURS_STOCK_PRODUCER,
    lineup.BLPOP,
    lineup.ARQ_100,
    lineup.SAQ,
    lineup.STREAQ,
    lineup.TASKIQ,
    lineup.DOCKET,
)


def latency(plan: Plan) -> list[Table]:
    """Measure single jobs, enqueued up to 0.5 s apart by a separate producer process.

    Args:
        plan: Rounds, scale and contestants of the run.

    Returns:
        One table of percentiles.
    """
    pings = plan.count(PINGS)

    def measure(contestant: Contestant, number: int) -> list[float]:
        return plan.arena.ping(contestant, pings, seed=number)

    rounds = plan.contest(CONTESTANTS, measure)
    found = {name: list(chain.from_iterable(waits)) for name, waits in rounds.items()}
    rows = [
        [name] + [milliseconds(percentile(waits, percent)) for percent in (50, 90, 99, 100)]
        for name, waits in found.items()
    ]
    note = f"{pings * plan.rounds} jobs each, at random intervals of up to 0.5 s."
    return [Table("Enqueue to start, idle", note, ["", "p50", "p90", "p99", "max"], rows, found)]
