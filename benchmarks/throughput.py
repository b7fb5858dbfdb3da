"""Jobs a second through worker processes, and what a job costs in CPU."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from benchmarks import lineup
from benchmarks.arena import Run
from benchmarks.lineup import Contestant
from benchmarks.plan import Plan
from benchmarks.tables import Table, costs, median_run, per_s, ratio, raw_runs, spread

IDEAL_COUNT: Final = 30_000
PROCESSES: Final = (1, 2, 4)


def drain(plan: Plan) -> list[Table]:
    """A full queue of no-op jobs, emptied by one worker process, with and without results."""

    def measure(results: bool, one: Contestant, _: int) -> Run:
        return plan.arena.drain(one, plan.count(one.count), results=results)

    contestants = plan.taking_part(lineup.ALL)
    runs = plan.in_turn(
        {
            (one.name, results): partial(measure, results, one)
            for one in contestants
            for results in (True, False)
        }
    )
    kept = {name: found for (name, results), found in runs.items() if results}
    not_kept = {name: found for (name, results), found in runs.items() if not results}
    note = "One worker process empties a queue that was filled before."
    ours = {"ours": kept.get("ours", [])}
    return [
        _compared("No-op jobs, a full queue, results kept", note, kept, ours),
        _compared(
            "No-op jobs, a full queue, no results",
            note,
            not_kept,
            {"ours": not_kept.get("ours", []), "ours with results": ours["ours"]},
        ),
    ]


def live(plan: Plan) -> list[Table]:
    """No-op jobs enqueued by one process while another one does them."""

    def measure(one: Contestant, _: int) -> Run:
        return plan.arena.live(one, plan.count(one.count))

    runs = plan.contest(lineup.ALL, measure)
    title = "No-op jobs, one producer and one worker, results kept"
    note = "The producer enqueues by its library's fastest way while the worker is at work."
    return [_compared(title, note, runs, {"ours": runs.get("ours", [])})]


def waiting(plan: Plan) -> list[Table]:
    """Jobs of 10 ms of I/O, 100 at once."""

    def measure(one: Contestant, _: int) -> Run:
        count = plan.count(min(one.count, IDEAL_COUNT))
        return plan.arena.drain(one, count, job="wait", concurrency=100)

    runs = plan.contest((lineup.OURS, *lineup.COROUTINE_PEERS), measure)
    title = "Jobs of 10 ms of I/O, 100 at once, results kept"
    return [_compared(title, "The ideal is 10,000/s.", runs, {"ours": runs.get("ours", [])})]


def logging(plan: Plan) -> list[Table]:
    """What the log line of each job costs, for which the other measurements leave it out."""

    def measure(one: Contestant, _: int) -> Run:
        return plan.arena.drain(one, plan.count(one.count))

    contestants = (lineup.OURS, lineup.OURS_LOGGED, lineup.ARQ_BEST, lineup.ARQ_LOGGED)
    runs = plan.contest(contestants, measure)
    note = "Results kept; the lines go to a file."
    return [_compared("With a log line for each job", note, runs, {})]


def settings(plan: Plan) -> list[Table]:
    """Each contestant at several settings, of which the lineup has the best."""

    def measure(one: Contestant, _: int) -> Run:
        return plan.arena.drain(one, plan.count(one.count))

    tables = []
    for one in plan.taking_part(lineup.ALL):
        tried = (
            replace(
                one, name=f"{number} {dict(options) or ''}", concurrency=number, options=options
            )
            for number, options in one.tried
        )
        runs = plan.contest(tried, measure)
        tables.append(_compared(one.name, "Results kept.", runs, {}))
    return tables


def scaling(plan: Plan) -> list[Table]:
    """Several worker processes on one queue."""
    waiting = {"job": "wait", "concurrency": 100}
    return [
        _scaled(plan, "no-op jobs", 2 * lineup.OURS.count, {}),
        _scaled(plan, "jobs of 10 ms of I/O, 100 at once in each", 2 * IDEAL_COUNT, waiting),
    ]


def _scaled(plan: Plan, jobs: str, count: int, wanted: Mapping[str, Any]) -> Table:
    def measure(processes: int, _: int) -> Run:
        return plan.arena.drain(lineup.OURS, plan.count(count), processes=processes, **wanted)

    runs = plan.in_turn({str(number): partial(measure, number) for number in PROCESSES})
    medians = {name: median_run(found) for name, found in runs.items()}
    rows = [
        [name, per_s(run.per_s), ratio(run.per_s, medians["1"].per_s), *costs(run)]
        for name, run in medians.items()
    ]
    head = ["worker processes", "jobs", "to one", "CPU of the workers a job", "CPU of Redis a job"]
    title = f"Worker processes on one queue, {jobs}"
    return Table(title, "Ours, results kept.", head, rows, raw_runs(runs))


def _compared(
    title: str,
    note: str,
    runs: Mapping[str, Sequence[Run]],
    bases: Mapping[str, Sequence[Run]],
) -> Table:
    """The medians, and how many times as fast each of `bases` is."""
    compared = {name: median_run(found).per_s for name, found in bases.items() if found}
    rows = []
    for name, found in runs.items():
        run = median_run(found)
        ratios = [ratio(base, run.per_s) for base in compared.values()]
        jobs = f"{per_s(run.per_s)} ({spread(one.per_s for one in found)})"
        rows.append([name, jobs, *ratios, *costs(run)])
    head = ["", "jobs (least to most)", *(f"{name} to it" for name in compared)]
    head += ["CPU of the worker a job", "CPU of Redis a job"]
    return Table(title, note, head, rows, raw_runs(runs))
