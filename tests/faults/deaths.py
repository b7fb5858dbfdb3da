"""Workers that die at a line that they run while they dial."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from random import Random
from typing import Final
from uuid import uuid4

from jobs.call.dispatch import MAX_REQUESTS
from jobs.engine import JobRequest
from jobs.inbox import receive
from jobs.rules.states import CallStatus
from jobs.store.model import Call, EventKind
from jobs.voice import SeededPlan, Simulator, Trouble
from jobs.voice.protocol import Accepted, CallRequest, ProviderEvent
from tests.faults.ground import Ground
from tests.faults.points import Point
from tests.faults.processes import SPAWN, ended, work_traced

DISPATCH: Final = "call/dispatch.py"
LANES: Final = 3
"""Workers at a time."""
CHANCES: Final = 3
"""How many workers are sent to a point, until one dies there: not all that runs beside the job is
run in every worker."""

TROUBLE: Final = Trouble(unanswered=0.2, wait=0.2, refuse=0.2, invalid=0.2, wait_seconds=1.0)
KINDS: Final = 5
"""Accepted, accepted without an answer, asked to wait, refused for now, refused for good."""

Prepare = Callable[[Ground, Sequence[Call]], Awaitable[None]]


async def as_scheduled(ground: Ground, calls: Sequence[Call]) -> None:
    """Nobody has dialled yet."""


async def as_left_behind(ground: Ground, calls: Sequence[Call]) -> None:
    """A worker died between its intent and the provider's answer; half of them were asked for."""
    await _save(ground, calls, status=CallStatus.DIALING, dialed_at=ground.clock.now(), requests=1)
    await _ask_for(ground, calls[::2])


async def as_refused(ground: Ground, calls: Sequence[Call]) -> None:
    """The provider has refused all but the last time, and may be asked again now."""
    now = ground.clock.now()
    refused = {"dialed_at": now, "refused_until": now, "requests": MAX_REQUESTS - 1}
    await _save(ground, calls, status=CallStatus.DIALING, **refused)


async def as_unknown(ground: Ground, calls: Sequence[Call]) -> None:
    """Left behind for so long that what the provider does not know was never asked for."""
    before = ground.clock.now() - timedelta(minutes=1)
    await _save(ground, calls, status=CallStatus.UNKNOWN, dialed_at=before, requests=1)
    await _ask_for(ground, calls[::2])


async def as_outrun(ground: Ground, calls: Sequence[Call]) -> None:
    """Callbacks come before the provider's answer, and do not name the call."""
    oracle = Simulator(SeededPlan(), ground.clock)
    answers = await oracle.place([CallRequest(call.id, "+12125550101") for call in calls])
    await oracle.close()
    status = {"status": "initiated"}
    events = [
        ProviderEvent(answer.provider_id, EventKind.STATUS, 0, None, status)
        for answer in answers.values()
        if isinstance(answer, Accepted)
    ]
    await receive(ground.quiet, ground.clock, events)


@dataclass(frozen=True)
class Scenario:
    """A job, the state in which it finds its calls, and other limits than the usual ones."""

    function: str
    prepare: Prepare
    limits: Mapping[str, float] = field(default_factory=dict)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "first": Scenario("call.dispatch", as_scheduled),
    "again": Scenario("call.dispatch", as_left_behind),
    "refused": Scenario("call.dispatch", as_refused),
    "outrun": Scenario("call.dispatch", as_outrun),
    "unanswered": Scenario("call.dispatch", as_scheduled, {"ANSWER_WITHIN": 0.0}),
    "frozen": Scenario("call.dispatch", as_scheduled, {"ASK_WITHIN": -1.0}),
    "unknown": Scenario("call.reconcile", as_unknown),
}


async def _save(ground: Ground, calls: Sequence[Call], **changes: object) -> None:
    async with ground.quiet.begin() as work:
        current = await work.calls.get_many([call.id for call in calls], lock=True)
        await work.calls.save([replace(call, **changes) for call in current])  # type: ignore[arg-type]  # by field name


async def _ask_for(ground: Ground, calls: Sequence[Call]) -> None:
    async with ground.quiet.begin() as work:
        leads = await work.leads.get_many([call.lead_id for call in calls])
    numbers = {lead.id: lead.e164 for lead in leads}
    await ground.voice.place([CallRequest(call.id, numbers[call.lead_id]) for call in calls])


@dataclass
class Tally:
    """died: how many workers died at each point. lived: those that did not come by theirs."""

    died: Counter[Point] = field(default_factory=Counter)
    lived: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.died + other.died, self.lived + other.lived)


async def passed_points(ground: Ground, scenario: Scenario) -> list[Point]:
    """The points that a worker passes which is left alone, in order."""
    (calls,) = await ground.batches(1)
    queue = await queued(ground, scenario, calls)
    here, there = SPAWN.Pipe(duplex=False)
    with here, there:
        process = _worker(ground, scenario, queue, passed=there)
        process.start()
        there.close()
        points: list[Point] = await asyncio.to_thread(here.recv)
        await ended(process)
    return points


async def kill_at(ground: Ground, scenario: Scenario, targets: Iterable[Point]) -> Tally:
    """Has a worker die at each of the points; at one that is named twice, two workers."""
    tally = Tally()
    waiting = list(targets)
    lanes = asyncio.Semaphore(LANES)

    async def send(calls: Sequence[Call], target: Point) -> Point | None:
        async with lanes:
            if await _dies(ground, scenario, calls, target):
                tally.died[target] += 1
                return None
            tally.lived += 1
            return target

    for _ in range(CHANCES):
        batches = await ground.batches(len(waiting))
        sent = [send(calls, target) for calls, target in zip(batches, waiting, strict=True)]
        waiting = [target for target in await asyncio.gather(*sent) if target is not None]
    return tally


async def _dies(ground: Ground, scenario: Scenario, calls: Sequence[Call], at: Point) -> bool:
    queue = await queued(ground, scenario, calls)
    process = _worker(ground, scenario, queue, dies_at=at)
    process.start()
    code = await ended(process)
    if code not in (0, -signal.SIGKILL):
        raise AssertionError(f"a worker that was to die at {at} ended with {code}")
    return code != 0


def _worker(
    ground: Ground,
    scenario: Scenario,
    queue: str,
    *,
    dies_at: Point | None = None,
    passed: Connection | None = None,
) -> ForkServerProcess:
    arguments = (ground.environment, scenario.limits, queue, dies_at, passed)
    return SPAWN.Process(target=work_traced, args=arguments)


async def queued(ground: Ground, scenario: Scenario, calls: Sequence[Call]) -> str:
    """A queue of its own with one job, for these calls."""
    queue = f"faults-{uuid4().hex[:8]}"
    ground.queues.append(queue)
    await scenario.prepare(ground, calls)
    ids = tuple(call.id for call in calls)
    await ground.pool.enqueue_many([JobRequest(scenario.function, ids, queue=queue)])
    return queue


def chosen(
    points: Sequence[Point], random: Random, *, others: int, known: Collection[tuple[str, int]] = ()
) -> list[Point]:
    """Each point of the dispatching job that is not on a known line, and a sample of the others."""
    own = [one for one in points if one.file == DISPATCH and one[:2] not in known]
    rest = sorted({one for one in points if one.file != DISPATCH})
    return own + random.sample(rest, min(others, len(rest)))
