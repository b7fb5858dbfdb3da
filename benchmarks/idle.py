"""Cost of an idle worker."""

import time
from typing import Final

from benchmarks import lineup
from benchmarks.lineup import Contestant
from benchmarks.plan import Plan
from benchmarks.tables import Table

SECONDS: Final = 20.0
"""Length of the measurement at scale 1."""
SETTLING: Final = 2.0
"""Seconds between the warm-up job and the measurement."""
CONTESTANTS: Final = (lineup.OURS, lineup.ARQ_100)


def idle(plan: Plan) -> list[Table]:
    """Measure CPU and Redis commands of a worker with an empty queue, in one run.

    Args:
        plan: Scale and contestants of the run.

    Returns:
        One table.
    """
    found = {contestant.name: _idle(plan, contestant) for contestant in plan.select(CONTESTANTS)}
    rows = [
        [name, f"{worker:.2%}", f"{redis:.2%}", f"{commands:,.1f}"]
        for name, (worker, redis, commands) in found.items()
    ]
    head = ["", "worker, % of a core", "Redis, % of a core", "Redis commands/s"]
    note = f"Over {SECONDS * plan.scale:g} s; commands inside scripts are counted."
    return [Table("An idle worker", note, head, rows, found)]


def _idle(plan: Plan, contestant: Contestant) -> tuple[float, float, float]:
    """Return the core shares of the worker and of Redis, and the commands per second."""
    arena, seconds = plan.arena, SECONDS * plan.scale
    with arena.team(contestant) as team:
        arena.warm_up(team, contestant, arena.order(contestant))
        time.sleep(SETTLING)
        worker, redis, commands = team.cpu(), arena.server.cpu(), arena.server.commands()
        time.sleep(seconds)
        return (
            (team.cpu() - worker) / seconds,
            (arena.server.cpu() - redis) / seconds,
            (arena.server.commands() - commands - 1) / seconds,
        )
