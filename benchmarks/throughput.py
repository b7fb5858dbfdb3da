"""Jobs a second through worker processes, and what a job costs in CPU."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from benchmarks import lineup
from benchmarks.arena import Run
from benchmarks.lineup import Contestant
from benchmarks.plan import Plan
from benchmarks.tables import Table, costs, median_run, per_s, ratio, raw_runs, spread

WITH_RESULTS: Final = (lineup.OURS, lineup.BARE_LOOP, lineup.ARQ_100, lineup.ARQ_BEST)
WITHOUT_RESULTS: Final = (lineup.OURS, lineup.BARE_LOOP, lineup.ARQ_100, lineup.ARQ_BEST)
WAITING: Final = (lineup.OURS, lineup.ARQ_BEST)
IDEAL_COUNT: Final = 30_000
PROCESSES: Final = (1, 2, 4)


def drain(plan: Plan) -> list[Table]:
    """A full queue of no-op jobs, emptied by one worker process."""
    return [
        _drained(plan, WITH_RESULTS, results=True),
        _drained(plan, WITHOUT_RESULTS, results=False),
    ]


def _drained(plan: Plan, contestants: Sequence[Contestant], *, results: bool) -> Table:
    def measure(one: Contestant, _: int) -> Run:
        return plan.arena.drain(one, plan.count(one.count), results=results)

    return _compared(
        f"No-op jobs, a full queue, {'results kept' if results else 'no results'}",
        "One worker process empties a queue that was filled before.",
        plan.contest(contestants, measure),
    )


def live(plan: Plan) -> list[Table]:
    """No-op jobs enqueued by one process while another one does them."""

    def measure(one: Contestant, _: int) -> Run:
        return plan.arena.live(one, plan.count(one.count))

    return [
        _compared(
            "No-op jobs, one producer and one worker, results kept",
            "The producer enqueues by its library's fastest way while the worker is at work.",
            plan.contest(WITH_RESULTS, measure),
        )
    ]


def waiting(plan: Plan) -> list[Table]:
    """Jobs of 10 ms of I/O, 100 at once."""

    def measure(one: Contestant, _: int) -> Run:
        count = plan.count(min(one.count, IDEAL_COUNT))
        return plan.arena.drain(one, count, job="wait", concurrency=100)

    return [
        _compared(
            "Jobs of 10 ms of I/O, 100 at once, results kept",
            "The ideal is 10,000/s.",
            plan.contest(WAITING, measure),
        )
    ]


def scaling(plan: Plan) -> list[Table]:
    """Several worker processes on one queue."""
    one, count = lineup.OURS, plan.count(2 * lineup.OURS.count)

    def measure(processes: int, _: int) -> Run:
        return plan.arena.drain(one, count, processes=processes)

    runs = plan.in_turn({str(number): partial(measure, number) for number in PROCESSES})
    medians = {name: median_run(found) for name, found in runs.items()}
    rows = [
        [name, per_s(run.per_s), ratio(run.per_s, medians["1"].per_s), *costs(run)]
        for name, run in medians.items()
    ]
    head = ["worker processes", "jobs", "to one", "CPU of the workers a job", "CPU of Redis a job"]
    note = "Ours, no-op jobs, results kept."
    return [Table("Worker processes on one queue", note, head, rows, raw_runs(runs))]


def _compared(title: str, note: str, runs: Mapping[str, Sequence[Run]]) -> Table:
    """The medians, and the first one's to each other's."""
    medians = {name: median_run(found) for name, found in runs.items()}
    first, best = next(iter(medians.items()))
    rows = [
        [
            name,
            f"{per_s(run.per_s)} ({spread(found.per_s for found in runs[name])})",
            ratio(best.per_s, run.per_s),
            *costs(run),
        ]
        for name, run in medians.items()
    ]
    head = [
        "",
        "jobs",
        f"{first} to it",
        "CPU of the worker a job",
        "CPU of Redis a job",
    ]
    return Table(title, note, head, rows, raw_runs(runs))
