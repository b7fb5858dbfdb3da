"""The long form: `python -m tests.faults --rounds 3 --others 100 --seed 1`.

Prints figures for each round and scenario; exits with 1 when some books do not balance.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

import click

from jobs.batches import batched
from jobs.demo.environment import temporary_environment
from jobs.settings import get_settings
from tests.faults.deaths import KINDS, SCENARIOS, TROUBLE, chosen, kill_at, passed_points
from tests.faults.ground import Ground, open_ground

AT_ONCE: Final = 60
"""Workers killed before all is put right."""


@click.command()
@click.option("--rounds", default=1, show_default=True, help="How often each point is tried.")
@click.option("--others", default=100, show_default=True, help="Points of other files.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--scenario", "scenarios", type=click.Choice(list(SCENARIOS)), multiple=True, default=SCENARIOS
)
def main(rounds: int, others: int, seed: int, scenarios: tuple[str, ...]) -> None:
    """Kill workers at all points of the dispatching job and at some others, and close the books."""
    balanced = [
        asyncio.run(_try(name, seed + number, others))
        for number in range(rounds)
        for name in scenarios
    ]
    sys.exit(not all(balanced))


async def _try(name: str, seed: int, others: int) -> bool:
    scenario = SCENARIOS[name]
    async with _ground(seed) as ground:
        points = await passed_points(ground, scenario)
    targets = chosen(points, Random(seed), others=others)
    balanced = True
    for chunk in batched(targets, AT_ONCE):
        started = time.monotonic()
        async with _ground(seed) as ground:
            tally = await kill_at(ground, scenario, chunk)
            killed = time.monotonic()
            await ground.put_right()
            righted, books = time.monotonic(), await ground.books()
        click.echo(
            f"seed {seed}, {name}: {tally.died.total()} workers killed at as many points "
            f"({tally.lived} did not pass theirs) in {killed - started:.0f} s, put right in "
            f"{righted - killed:.0f} s: {books}"
        )
        balanced = balanced and books.balance
    return balanced


@asynccontextmanager
async def _ground(seed: int) -> AsyncIterator[Ground]:
    async with (
        temporary_environment(get_settings()) as own,
        open_ground(
            own.redis_url, own.database_url, seed=seed, trouble=TROUBLE, kinds=KINDS
        ) as ground,
    ):
        yield ground


if __name__ == "__main__":
    main()
