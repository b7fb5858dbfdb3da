"""A worker that cannot tell whether its job's transaction was committed: nobody is called twice,
and no call is lost."""

import pytest

from jobs.engine import DeadLetterStore
from jobs.rules.states import CallStatus
from tests.faults.commits import Loss, Moment, losses, socket_of, suffer
from tests.faults.deaths import KINDS, SCENARIOS, TROUBLE
from tests.faults.ground import open_ground

SEED = 1
AS_IT_WAS = {CallStatus.SCHEDULED}
INTENT = {CallStatus.DIALING}
ANSWERS = {CallStatus.QUEUED, CallStatus.UNKNOWN, CallStatus.DIALING, CallStatus.FAILED}
"""Taken; perhaps taken; refused for now; refused for good."""
LEFT = {
    Loss(Moment.ASKED_FOR, 1, killed=True): AS_IT_WAS,
    Loss(Moment.ASKED_FOR, 1, killed=False): ANSWERS,  # of the job's second try
    Loss(Moment.DONE, 1, killed=True): INTENT,
    Loss(Moment.DONE, 1, killed=False): INTENT,  # which might be another worker's
    Loss(Moment.ASKED_FOR, 2, killed=True): INTENT,
    Loss(Moment.ASKED_FOR, 2, killed=False): INTENT,
    Loss(Moment.DONE, 2, killed=True): ANSWERS,
    Loss(Moment.DONE, 2, killed=False): ANSWERS,
}
"""What is stored after a loss: a job that dials commits its intent, and later the answers."""


async def test_a_worker_may_lose_postgresql_at_any_commit_while_it_dials(
    redis_url: str, database_url: str
) -> None:
    if socket_of(database_url) is None:
        pytest.skip("PostgreSQL is not reached by a Unix socket, which is what is broken here")
    async with open_ground(
        redis_url, database_url, seed=SEED, trouble=TROUBLE, kinds=KINDS
    ) as ground:
        for name, scenario in SCENARIOS.items():
            wanted = await losses(ground, scenario)
            left = await suffer(ground, scenario, wanted)
            assert wanted
            assert left.keys() == set(wanted)
            if name == "first":
                assert {loss: {call.status for call in left[loss]} for loss in left} == LEFT
                # Of those that died after a commit; nobody has published them since.
                assert await ground.store.outbox_size()
        await ground.put_right()
        books = await ground.books()
        letters = await DeadLetterStore(ground.pool).find(limit=1)

    assert books.balance, books
    assert books.accepted > 0
    assert not letters
