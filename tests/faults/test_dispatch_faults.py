"""A worker that dies while it dials, at any line: nobody is called twice, and no call is lost.

`python -m tests.faults` tries more points, more often.
"""

from random import Random

from tests.faults.deaths import (
    DISPATCH,
    KINDS,
    SCENARIOS,
    TROUBLE,
    Tally,
    chosen,
    kill_at,
    passed_points,
)
from tests.faults.ground import open_ground
from tests.faults.points import ROOT, lines_of

SEED = 1
OTHERS = 2
"""Points of other files, in each scenario."""
OUT_OF_REACH = {"return call"}
"""The lines of the dispatching job that only a worker runs which others took for dead."""


async def test_a_worker_may_die_at_any_line_while_it_dials(
    redis_url: str, database_url: str
) -> None:
    random, tally = Random(SEED), Tally()
    async with open_ground(
        redis_url, database_url, seed=SEED, trouble=TROUBLE, kinds=KINDS
    ) as ground:
        for scenario in SCENARIOS.values():
            known = {point[:2] for point in tally.died}
            points = [one for one in await passed_points(ground, scenario) if one.nth == 1]
            targets = chosen(points, random, others=OTHERS, known=known)
            tally += await kill_at(ground, scenario, targets)
        await ground.put_right()
        books = await ground.books()

    assert books.balance, books
    assert books.accepted > 0
    survived = lines_of(DISPATCH) - {point.line for point in tally.died if point.file == DISPATCH}
    text = (ROOT / "jobs" / DISPATCH).read_text("utf-8").splitlines()
    assert {text[line - 1].strip() for line in survived} == OUT_OF_REACH
