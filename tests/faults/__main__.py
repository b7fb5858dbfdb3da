"""The long form: `python -m tests.faults --rounds 3 --times 5 --others 100 --seed 1`.

Prints figures for each round; exits with 1 when the books of one do not balance.
"""

import asyncio
import sys
import time
from random import Random

import click

from jobs.demo.ground import own_ground
from settings import get_settings
from tests.faults.deaths import KINDS, TROUBLE, try_all
from tests.faults.ground import open_ground


@click.command()
@click.option("--rounds", default=1, show_default=True, help="Each with a campaign of its own.")
@click.option("--times", default=5, show_default=True, help="At each point of the dispatching job.")
@click.option("--others", default=100, show_default=True, help="Other points, in each scenario.")
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, times: int, others: int, seed: int) -> None:
    """Kill workers at the lines that they run while they dial, and close the books."""
    balanced = [asyncio.run(_round(seed + n, times, others)) for n in range(rounds)]
    sys.exit(not all(balanced))


async def _round(seed: int, times: int, others: int) -> bool:
    started = time.monotonic()
    async with (
        own_ground(get_settings()) as own,
        open_ground(
            own.redis_url, own.database_url, seed=seed, trouble=TROUBLE, kinds=KINDS
        ) as ground,
    ):
        tally = await try_all(ground, Random(seed), times=times, others=others)
        killed = time.monotonic()
        await ground.put_right()
        righted, books = time.monotonic(), await ground.books()
    lines = {point[:2] for point in tally.died}
    click.echo(
        f"seed {seed}: {tally.died.total()} workers killed at {len(tally.died)} points on "
        f"{len(lines)} lines ({tally.lived} did not pass theirs), {killed - started:.0f} s; "
        f"put right in {righted - killed:.0f} s"
    )
    click.echo(f"  {books}")
    return books.balance


if __name__ == "__main__":
    main()
