"""Workers that lose PostgreSQL while a job commits: whether it did is then to be found out."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy.engine import make_url

from jobs.chaos.proxies import Link, State
from jobs.store.model import Call
from tests.faults.deaths import LANES, Scenario, queued
from tests.faults.ground import Ground
from tests.faults.processes import SPAWN, ended, work

_CALLBACKS: Final = b"INSERT INTO call_events"


class Moment(Enum):
    """How far a commit has come, as the message that is then on its way."""

    ASKED_FOR = b"Q\0\0\0\x0cCOMMIT;\0"
    """The worker's query. Without it, the transaction is rolled back."""
    DONE = b"C\0\0\0\x0bCOMMIT\0"
    """The server's answer. Without it, the worker cannot tell."""


class Loss(NamedTuple):
    """The connection breaks at a job's nth commit (from 1); the worker is killed, or lives on."""

    moment: Moment
    nth: int
    killed: bool


def socket_of(database_url: str) -> Path | None:
    """The server's Unix socket, if the URL names one."""
    query = make_url(database_url).query
    folder = str(query.get("host", ""))
    return Path(folder) / f".s.PGSQL.{query.get('port', 5432)}" if folder[:1] == "/" else None


async def losses(ground: Ground, scenario: Scenario) -> list[Loss]:
    """All that there can be, as a worker shows which is left alone."""
    (calls,) = await ground.batches(1)
    seen = await _run(ground, scenario, calls, None)
    assert seen[Moment.ASKED_FOR] == seen[Moment.DONE]
    numbers = range(1, seen[Moment.DONE] + 1)
    return [Loss(*one) for one in product(Moment, numbers, (True, False))]


async def suffer(
    ground: Ground, scenario: Scenario, wanted: Collection[Loss]
) -> Mapping[Loss, list[Call]]:
    """Has a worker suffer each of the losses; answers how it left its calls, if it did."""
    lanes = asyncio.Semaphore(LANES)
    left: dict[Loss, list[Call]] = {}

    async def one(calls: Sequence[Call], loss: Loss) -> None:
        async with lanes:
            seen = await _run(ground, scenario, calls, loss)
            if seen[loss.moment] < loss.nth:
                return
            async with ground.quiet.begin() as work:
                left[loss] = await work.calls.get_many([call.id for call in calls])

    batches = await ground.batches(len(wanted))
    await asyncio.gather(*map(one, batches, wanted))
    return left


async def _run(
    ground: Ground, scenario: Scenario, calls: Sequence[Call], loss: Loss | None
) -> Counter[Moment]:
    """Runs a worker to its end; answers how many commits of its job came how far."""
    queue = await queued(ground, scenario, calls)
    target = socket_of(ground.database_url)
    assert target is not None
    seen: Counter[Moment] = Counter()

    def reached(moment: Moment) -> None:
        seen[moment] += 1
        if loss is not None and loss[:2] == (moment, seen[moment]):
            if loss.killed:
                process.kill()
            link.set(State.CUT)
            link.set(State.UP)

    folder = ground.folder / queue
    folder.mkdir()
    link = Link(folder / target.name, target, lambda: _Connection(reached).tap)
    url = make_url(ground.database_url).update_query_dict({"host": str(folder)})
    through = {"DATABASE_URL": url.render_as_string(hide_password=False)}
    environment = {**ground.environment, **through}
    process = SPAWN.Process(target=work, args=(environment, scenario.limits, queue))
    await link.start()
    try:
        process.start()
        code = await ended(process)
    finally:
        await link.close()
    killed = loss is not None and loss.killed and seen[loss.moment] >= loss.nth
    if code != (-signal.SIGKILL if killed else 0):
        raise AssertionError(f"a worker that was to suffer {loss} ended with {code}")
    return seen


class _Connection:
    """Tells of the commits of jobs on a connection, not of those by which callbacks are taken in,
    which come whenever the provider likes.

    A message of PostgreSQL's protocol (version 3) is a type, a length and, here, texts that end
    with a zero. Each side waits for the other one's answer, so that a piece begins with a message.
    """

    def __init__(self, reached: Callable[[Moment], None]) -> None:
        self._reached = reached
        self._statements: set[bytes] = set()
        self._takes_callbacks = False

    def tap(self, data: bytes) -> None:
        kind, texts = data[:1], data[5:].split(b"\0", 2)
        if kind == b"P" and texts[1].startswith(_CALLBACKS):  # Parse: a statement gets a name
            self._statements.add(texts[0])
        elif kind == b"B":  # Bind: a portal, for the statement of that name
            self._takes_callbacks |= texts[1] in self._statements
        elif kind == b"Q" and texts[0].startswith(b"BEGIN"):
            self._takes_callbacks = False
        for moment in Moment:
            if data.startswith(moment.value) and not self._takes_callbacks:
                self._reached(moment)
