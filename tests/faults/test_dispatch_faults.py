"""A worker that dies while it dials, at any line: nobody is called twice, and no call is lost.

`python -m tests.faults` tries more points, more often.
"""

from random import Random

from tests.faults.deaths import DISPATCH, KINDS, TROUBLE, try_all
from tests.faults.ground import open_ground
from tests.faults.points import ROOT, lines_of

SEED = 1
OUT_OF_REACH = {"return call"}
"""The lines of the dispatching job that only a worker runs which others took for dead."""


async def test_a_worker_may_die_at_any_line_while_it_dials(
    redis_url: str, database_url: str
) -> None:
    async with open_ground(
        redis_url, database_url, seed=SEED, trouble=TROUBLE, kinds=KINDS
    ) as ground:
        tally = await try_all(ground, Random(SEED), times=1, others=4)
        await ground.put_right()
        books = await ground.books()

    assert books.balance, books
    assert books.accepted > 0
    survived = lines_of(DISPATCH) - {point.line for point in tally.died if point.file == DISPATCH}
    text = (ROOT / "jobs" / DISPATCH).read_text("utf-8").splitlines()
    assert {text[line - 1].strip() for line in survived} == OUT_OF_REACH
