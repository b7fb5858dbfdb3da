"""What a worker costs that has nothing to do."""

import time
from typing import Final

from benchmarks import lineup
from benchmarks.lineup import Contestant
from benchmarks.plan import Plan
from benchmarks.tables import Table

SECONDS: Final = 20.0
SETTLING: Final = 2.0
CONTESTANTS: Final = (lineup.OURS, lineup.ARQ_100)


def idle(plan: Plan) -> list[Table]:
    """CPU and commands of a worker whose queue is empty; one run."""
    found = {one.name: _idle(plan, one) for one in plan.taking_part(CONTESTANTS)}
    rows = [
        [name, f"{worker:.2%}", f"{redis:.2%}", f"{commands:,.1f}"]
        for name, (worker, redis, commands) in found.items()
    ]
    head = ["", "worker, of a core", "Redis, of a core", "Redis commands a second"]
    note = f"Over {SECONDS * plan.scale:g} s; commands inside of scripts count, too."
    return [Table("An idle worker", note, head, rows, found)]


def _idle(plan: Plan, one: Contestant) -> tuple[float, float, float]:
    """Shares of a core of the worker and of Redis, and commands a second."""
    arena, seconds = plan.arena, SECONDS * plan.scale
    with arena.team(one) as team:
        arena.warm_up(team, one, arena.order(one))
        time.sleep(SETTLING)
        worker, redis, commands = team.cpu(), arena.server.cpu(), arena.server.commands()
        time.sleep(seconds)
        return (
            (team.cpu() - worker) / seconds,
            (arena.server.cpu() - redis) / seconds,
            (arena.server.commands() - commands - 1) / seconds,
        )
