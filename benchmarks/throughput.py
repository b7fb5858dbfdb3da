"""Jobs per second through worker processes, and CPU per job."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from benchmarks import lineup
from benchmarks.arena import Run
from benchmarks.lineup import Contestant
from benchmarks.plan import Plan
from benchmarks.tables import Table, costs, median_run, per_s, ratio, raw_runs, spread

IO_COUNT: Final = 30_000
"""Maximum number of jobs in a measurement of I/O."""
PROCESSES: Final = (1, 2, 4)


def drain(plan: Plan) -> list[Table]:
    """Measure one worker process that drains a full queue of no-op jobs.

    Args:
        plan: Rounds, scale and contestants of the run.

    Returns:
        Two tables: with results kept, and without results.
    """

    def measure(results: bool, contestant: Contestant, _: int) -> Run:
        return plan.arena.drain(contestant, plan.count(contestant.count), results=results)

    runs = plan.run_rounds(
        {
            (contestant.name, results): partial(measure, results, contestant)
            for contestant in plan.select(lineup.ALL)
            for results in (True, False)
        }
    )
    kept = {name: found for (name, results), found in runs.items() if results}
    not_kept = {name: found for (name, results), found in runs.items() if not results}
    note = "One worker process drains a queue that was filled beforehand."
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
    """Measure a producer process and a worker process that run at the same time.

    Args:
        plan: Rounds, scale and contestants of the run.

    Returns:
        One table.
    """

    def measure(contestant: Contestant, _: int) -> Run:
        return plan.arena.live(contestant, plan.count(contestant.count))

    runs = plan.contest(lineup.ALL, measure)
    title = "No-op jobs, one producer and one worker, results kept"
    note = "The producer uses its library's fastest method while the worker runs."
    return [_compared(title, note, runs, {"ours": runs.get("ours", [])})]


def waiting(plan: Plan) -> list[Table]:
    """Measure jobs of 10 ms of I/O at a concurrency of 100.

    Args:
        plan: Rounds, scale and contestants of the run.

    Returns:
        One table.
    """

    def measure(contestant: Contestant, _: int) -> Run:
        count = plan.count(min(contestant.count, IO_COUNT))
        return plan.arena.drain(contestant, count, job="wait", concurrency=100)

    runs = plan.contest((lineup.OURS, *lineup.COROUTINE_PEERS), measure)
    title = "Jobs of 10 ms of I/O, concurrency 100, results kept"
    return [_compared(title, "The ideal is 10,000/s.", runs, {"ours": runs.get("ours", [])})]


def logging(plan: Plan) -> list[Table]:
    """Measure the cost of log lines, which all other measurements switch off.

    Args:
        plan: Rounds, scale and contestants of the run.

    Returns:
        One table.
    """

    def measure(contestant: Contestant, _: int) -> Run:
        return plan.arena.drain(contestant, plan.count(contestant.count))

    contestants = (lineup.OURS, lineup.OURS_LOGGED, lineup.ARQ_BEST, lineup.ARQ_LOGGED)
    runs = plan.contest(contestants, measure)
    note = "Results kept; the lines go to a file."
    return [_compared("With log lines for each job", note, runs, {})]


def settings(plan: Plan) -> list[Table]:
    """Measure each contestant at several settings; the lineup uses the best.

    Args:
        plan: Rounds, scale and contestants of the run.

    Returns:
        One table per contestant.
    """

    def measure(contestant: Contestant, _: int) -> Run:
        return plan.arena.drain(contestant, plan.count(contestant.count))

    tables = []
    for contestant in plan.select(lineup.ALL):
        tried = (
            replace(
                contestant,
                name=f"{concurrency} {dict(options) or ''}",
                concurrency=concurrency,
                options=options,
            )
            for concurrency, options in contestant.tried
        )
        runs = plan.contest(tried, measure)
        tables.append(_compared(contestant.name, "Results kept.", runs, {}))
    return tables


def scaling(plan: Plan) -> list[Table]:
    """Measure several worker processes on one queue.

    Args:
        plan: Rounds and scale of the run.

    Returns:
        Two tables: no-op jobs, and jobs of I/O.
    """
    waiting = {"job": "wait", "concurrency": 100}
    return [
        _scaled(plan, "no-op jobs", 2 * lineup.OURS.count, {}),
        _scaled(plan, "jobs of 10 ms of I/O, concurrency 100 each", 2 * IO_COUNT, waiting),
    ]


def _scaled(plan: Plan, jobs: str, count: int, overrides: Mapping[str, Any]) -> Table:
    def measure(processes: int, _: int) -> Run:
        return plan.arena.drain(lineup.OURS, plan.count(count), processes=processes, **overrides)

    runs = plan.run_rounds({str(number): partial(measure, number) for number in PROCESSES})
    medians = {name: median_run(found) for name, found in runs.items()}
    rows = [
        [name, per_s(run.per_s), ratio(run.per_s, medians["1"].per_s), *costs(run)]
        for name, run in medians.items()
    ]
    head = ["worker processes", "jobs", "vs. one", "worker CPU per job", "Redis CPU per job"]
    title = f"Worker processes on one queue, {jobs}"
    return Table(title, "Ours, results kept.", head, rows, raw_runs(runs))


def _compared(
    title: str,
    note: str,
    runs: Mapping[str, Sequence[Run]],
    bases: Mapping[str, Sequence[Run]],
) -> Table:
    """Build a table of medians, and of the factor by which each of `bases` is faster."""
    compared = {name: median_run(found).per_s for name, found in bases.items() if found}
    rows = []
    for name, found in runs.items():
        run = median_run(found)
        ratios = [ratio(base, run.per_s) for base in compared.values()]
        jobs = f"{per_s(run.per_s)} ({spread(item.per_s for item in found)})"
        rows.append([name, jobs, *ratios, *costs(run)])
    head = ["", "jobs (min to max)", *(f"{name} vs. it" for name in compared)]
    head += ["worker CPU per job", "Redis CPU per job"]
    return Table(title, note, head, rows, raw_runs(runs))
