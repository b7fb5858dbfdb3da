"""Every pair of jobs, interleaved over the same rows, ends without a deadlock.

A deadlock takes two transactions, each of which holds what the other one needs next. There are two
ways to get there, and each test takes one of them for all pairs:

1. Between statements: the first job stops before one of its statements, the second one runs until
   it ends or waits for the first, and the first one goes on.
2. Within a statement that locks several rows: a third transaction holds the middle row, and both
   jobs run until they wait for it. The first job reads tables by index, the second one in the order
   on disk, which is the reverse.

The second job always gets its arguments in reverse order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from jobs import analytics, call, campaign, default, embedded, lead
from jobs.context import JobContext
from jobs.embedded import databases
from jobs.engine.definition.job import definition_of
from jobs.store.postgres.store import PostgresStore
from jobs.testing.clock import FrozenClock
from jobs.testing.context import NOON, make_context
from tests.contract.concurrency import (
    INDEX_SCANS,
    SEQUENTIAL_SCANS,
    Job,
    Monitor,
    RolledBackStore,
    Run,
    configured_engine,
    errors_of,
    stopped_or_done,
)
from tests.contract.given import Queue, number
from tests.contract.scene import Scene, provider_id, set_up
from tests.contract.store_jobs import JOBS, Voice

DOMAINS: Final = (analytics, call, campaign, default, lead)
WITHOUT_STORE: Final = {"default.ping", "default.housekeeping"}
"""Jobs that do not touch the store."""


class Place(NamedTuple):
    """A database with the scene's rows."""

    url: str
    scene: Scene


@pytest.fixture(scope="module")
def place(
    embedded_servers: embedded.Servers,
    database_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    """One database for all tests of this file: no run changes it."""
    name, admin = f"test_{uuid4().hex}", embedded_servers.database_url
    url, folder = databases.url_for(admin, name), tmp_path_factory.mktemp("scene")

    async def make() -> Scene:
        await databases.create(admin, name, template=database_template)
        store = await PostgresStore.open(url, publish=Queue(), clock=FrozenClock(NOON))
        try:
            return await set_up(store, url, folder)
        finally:
            await store.close()

    yield Place(url, asyncio.run(make()))
    asyncio.run(databases.drop(admin, name))


class Worker:
    """A process of its own: a store, and a context for its jobs."""

    def __init__(self, database_url: str, scene: Scene, settings: Mapping[str, str]) -> None:
        clock = FrozenClock(NOON)
        self.store = RolledBackStore(configured_engine(database_url, **settings), clock)
        self._ctx: JobContext = make_context(store=self.store, voice=Voice(), clock=clock)
        self._jobs = {name: made(scene) for name, made in JOBS.items()}

    def start(self, name: str, run: Run) -> "asyncio.Task[object]":
        """Run a job of JOBS as a task."""
        return self.start_job(self._jobs[name], run)

    def start_job(self, job: Job, run: Run) -> "asyncio.Task[object]":
        self.store.current = run

        async def body() -> object:
            return await job(self._ctx)

        return asyncio.create_task(body())


@dataclass
class Stage:
    """Two workers, and connections to watch them and to hold a row."""

    by_index: Worker
    on_disk: Worker
    monitor: Monitor
    holder: "asyncpg.Connection[asyncpg.Record]"

    @asynccontextmanager
    async def held(self, statement: str, values: tuple[object, ...]) -> AsyncIterator[None]:
        """Hold what the statement locks, until the block ends."""
        transaction = self.holder.transaction()
        await transaction.start()
        await self.holder.execute(statement, *values)
        yield
        await transaction.rollback()


@pytest.fixture
async def stage(place: Place) -> AsyncIterator[Stage]:
    by_index = Worker(place.url, place.scene, INDEX_SCANS)
    on_disk = Worker(place.url, place.scene.reversed(), SEQUENTIAL_SCANS)
    watching, holder = [await asyncpg.connect(place.url) for _ in range(2)]
    yield Stage(by_index, on_disk, Monitor(watching), holder)
    for worker in (by_index, on_disk):
        await worker.store.close()
    for connection in (watching, holder):
        await connection.close()


@pytest.mark.parametrize("name", JOBS)
async def test_between_statements(stage: Stage, name: str) -> None:
    """Within a transaction, the last stop comes first: it holds all that the earlier ones hold.

    So a job that does not wait for the last one waits for none of them.
    """
    alone = Run()
    assert await errors_of(stage.by_index.start(name, alone)) == []
    for stops in alone.stops():
        others = list(JOBS)
        for stop in reversed(stops):
            others = [other for other in others if await meets(stage, name, stop, other)]


async def meets(stage: Stage, name: str, stop: int, other: str) -> bool:
    """Run the other job while this one stands; return whether the other one waits for it."""
    first, second = Run(stop), Run()
    stopping = stage.by_index.start(name, first)
    await stopped_or_done(stopping, first)
    running = stage.on_disk.start(other, second)
    blocked = await stage.monitor.is_blocked(running, second)
    first.resumed.set()
    errors = await errors_of(stopping, running)
    assert errors == [], f"{name}, before {first.statements[stop]}, and {other}"
    return blocked


def middle(ids: Sequence[UUID]) -> UUID:
    return sorted(ids)[1]


Held = tuple[str, tuple[object, ...]]
"""A statement with its values."""


def held(statement: str, *values: object) -> Held:
    return statement, values


def enrollment(campaign: str) -> Callable[[Scene], Held]:
    def middle_enrollment(scene: Scene) -> Held:
        row = scene.enrollments[getattr(scene, campaign).id][1]
        return held("SELECT FROM enrolments WHERE id = $1 FOR UPDATE", row.id)

    return middle_enrollment


CALL: Final = "SELECT FROM calls WHERE id = $1 FOR UPDATE"
HELD: Final[Mapping[str, Callable[[Scene], Held]]] = {
    "campaign": lambda scene: held(
        "SELECT FROM campaigns WHERE id = $1 FOR UPDATE", scene.mixed.id
    ),
    "lead": lambda scene: held("SELECT FROM leads WHERE id = $1 FOR UPDATE", scene.leads[1]),
    "number": lambda scene: held(
        "INSERT INTO leads (id, tenant, e164, attributes, created_at, updated_at) "
        "VALUES ($1, 'default', $2, '{}', now(), now())",
        uuid4(),
        number(2),
    ),
    "tag": lambda scene: held(
        "SELECT FROM lead_tags WHERE lead_id = $1 AND key = 'vip' FOR UPDATE", scene.leads[1]
    ),
    "new tag": lambda scene: held(
        "INSERT INTO lead_tags VALUES ($1, 'new', 'new')", scene.leads[1]
    ),
    "call to dial": lambda scene: held(CALL, middle(scene.to_dial)),
    "call with events": lambda scene: held(CALL, middle(scene.to_apply)),
    "call that ended": lambda scene: held(CALL, middle(scene.to_process)),
    "event": lambda scene: held(
        "SELECT FROM call_events WHERE provider_id = $1 AND kind = 'recording' AND sequence = 3 "
        "FOR UPDATE",
        provider_id(middle(scene.to_apply)),
    ),
    "event without a call": lambda scene: held(
        "SELECT FROM call_events WHERE provider_id = $1 AND sequence = 3 FOR UPDATE",
        provider_id(middle(scene.to_dial)),
    ),
    "new event": lambda scene: held(
        "INSERT INTO call_events (provider_id, kind, sequence, payload, received_at) "
        "VALUES ($1, 'status', 4, '{}', now())",
        provider_id(middle(scene.to_apply)),
    ),
    "enrollment to call": enrollment("scheduled"),
    "enrollment to end": enrollment("ended"),
    "enrollment that is due": enrollment("mixed"),
    "new enrollment": lambda scene: held(
        "INSERT INTO enrolments (id, campaign_id, lead_id, created_at) VALUES ($1, $2, $3, now())",
        uuid4(),
        scene.draft.id,
        scene.leads[1],
    ),
    "bucket": lambda scene: held(
        "SELECT FROM metric_buckets WHERE campaign_id = $1 FOR UPDATE", scene.ended.id
    ),
    "outbox": lambda scene: held("SELECT FROM outbox ORDER BY id OFFSET 1 LIMIT 1 FOR UPDATE"),
}
"""Statements that lock one row, which is in the middle by any order."""


@pytest.mark.parametrize("row", HELD)
async def test_within_a_statement(stage: Stage, place: Place, row: str) -> None:
    lock = HELD[row](place.scene)
    waiting = [name for name in JOBS if await waits(stage, name, lock)]
    for name in waiting:
        for other in JOBS:
            first, second = Run(), Run()
            async with stage.held(*lock):
                by_index = stage.by_index.start(name, first)
                await stage.monitor.is_blocked(by_index, first)
                on_disk = stage.on_disk.start(other, second)
                await stage.monitor.is_blocked(on_disk, second)
            errors = await errors_of(by_index, on_disk)
            assert errors == [], f"{name} and {other}"


async def waits(stage: Stage, name: str, lock: Held) -> bool:
    """Run the job alone; return whether it waits for the row."""
    run = Run()
    async with stage.held(*lock):
        task = stage.by_index.start(name, run)
        blocked = await stage.monitor.is_blocked(task, run)
    assert await errors_of(task) == []
    return blocked


def test_no_job_is_left_out() -> None:
    jobs = [job for domain in DOMAINS for job in domain.WorkerSettings.functions.functions]
    names = {definition.name for job in jobs if (definition := definition_of(job))}
    assert names - {name.partition(",")[0] for name in JOBS} == WITHOUT_STORE


async def test_a_deadlock_between_statements_is_found(stage: Stage, place: Place) -> None:
    first, second = Run(stop_before=1), Run()
    stopping = stage.by_index.start_job(locks_leads(*place.scene.leads), first)
    await stopped_or_done(stopping, first)
    running = stage.on_disk.start_job(locks_leads(*place.scene.leads[::-1]), second)
    assert await stage.monitor.is_blocked(running, second)
    first.resumed.set()
    (error,) = await errors_of(stopping, running)
    assert "deadlock" in str(error)


def locks_leads(*ids: UUID) -> Job:
    async def lock(ctx: JobContext) -> None:
        async with ctx["store"].begin() as work:
            for lead_id in ids:
                await work.leads.get_many([lead_id], lock=True)

    return lock
