"""Concurrent transactions whose interleaving a test decides, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import Executable, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from jobs.clock import Clock
from jobs.engine.client.request import JobRequest
from jobs.store.postgres.session import Session, connected, open_engine
from jobs.store.postgres.store import PostgresStore, PostgresWork

INDEX_SCANS: Final[Mapping[str, str]] = {"enable_seqscan": "off", "enable_bitmapscan": "off"}
"""Settings of a session that reads tables in the order of an index."""
SEQUENTIAL_SCANS: Final[Mapping[str, str]] = {
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
}
"""Settings of a session that reads tables in the order of their rows on disk.

PostgreSQL chooses such a plan for a small table, and an index for a large one.
"""
DEADLOCK_TIMEOUT: Final = "20ms"
"""Time that PostgreSQL waits for a lock before it looks for a deadlock; 1 s by default."""

_LOCKING: Final = ("INSERT", "UPDATE", "DELETE")
_IS_BLOCKED: Final = "SELECT cardinality(pg_blocking_pids($1)) > 0"


def configured_engine(database_url: str, **settings: str) -> AsyncEngine:
    """Return an engine whose sessions have these settings, and report deadlocks at once."""
    engine = open_engine(database_url, pool_size=4)
    settings = {"deadlock_timeout": DEADLOCK_TIMEOUT} | settings

    def configure(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        for name, value in settings.items():
            cursor.execute(f"SET {name} = '{value}'")
        cursor.close()
        connection.commit()

    event.listen(engine.sync_engine, "connect", configure)
    return engine


class Run:
    """One run of a job: its statements so far, and the statement before which it stops.

    Attributes:
        statements: The text of each statement, with the number of its transaction.
        pid: The server process of the current transaction.
        stopped: Set when the run has come to the statement number `stop_before`.
        resumed: To be set by the test, so that the run continues.
    """

    def __init__(self, stop_before: int | None = None) -> None:
        self.statements: list[tuple[int, str]] = []
        self.pid: int | None = None
        self.stopped, self.resumed = asyncio.Event(), asyncio.Event()
        self._stop_before = stop_before
        self._transactions = 0

    async def begin(self, connection: AsyncConnection) -> None:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        self.pid = driver.get_server_pid()
        self._transactions += 1

    async def before(self, statement: Executable) -> None:
        if len(self.statements) == self._stop_before:
            self.stopped.set()
            await self.resumed.wait()
        self.statements.append((self._transactions, str(statement)))

    def stops(self) -> list[list[int]]:
        """Return the statements before which the run holds locks, and takes more afterwards.

        Returns:
            The numbers of the statements, in ascending order, for each transaction with any.
        """
        locking: dict[int, list[int]] = {}
        for number, (transaction, text) in enumerate(self.statements):
            if any(word in text for word in _LOCKING):
                locking.setdefault(transaction, []).append(number)
        return [numbers[1:] for numbers in locking.values() if numbers[1:]]


class _WatchedSession(Session):
    def __init__(self, connection: AsyncConnection, run: Run) -> None:
        super().__init__(connection)
        self._run = run

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[Any]:
        await self._run.before(statement)
        return await super().rows(statement, parameters)

    async def first(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Any:
        await self._run.before(statement)
        return await super().first(statement, parameters)

    async def run(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> int:
        await self._run.before(statement)
        return await super().run(statement, parameters)


class RolledBackStore(PostgresStore):
    """A store whose transactions are all rolled back: each run finds the same rows.

    A lock conflict does not depend on how a transaction ends.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        super().__init__(engine, _unpublished, clock)
        self.current = Run()
        self._outbox._session = self._rolled_back  # type: ignore[method-assign]  # to watch it too

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PostgresWork]:
        async with self._rolled_back() as session:
            work = PostgresWork(session, self._new_id)
            yield work
            await self._outbox.write(session, work.enqueued)

    @asynccontextmanager
    async def _rolled_back(self) -> AsyncIterator[Session]:
        async with connected(self._engine) as connection:
            await self.current.begin(connection)
            yield _WatchedSession(connection, self.current)


async def _unpublished(jobs: Sequence[JobRequest], /) -> None:
    """Drop the jobs of a transaction that is rolled back."""


class Monitor:
    """A connection that sees which other connections wait for a lock."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def is_blocked(self, job: "asyncio.Task[object]", run: Run) -> bool:
        """Wait until the job waits for a lock, or has ended; return whether it waits."""
        while not job.done():
            if run.pid and await self._connection.fetchval(_IS_BLOCKED, run.pid):
                return True
            await asyncio.sleep(0)
        return False


async def stopped_or_done(job: "asyncio.Task[object]", run: Run) -> None:
    """Wait until the run has come to its stop, or has ended before."""
    stop = asyncio.create_task(run.stopped.wait())
    await asyncio.wait({job, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()


async def errors_of(*jobs: Awaitable[object]) -> list[BaseException]:
    """Wait for all jobs and return the errors of those that failed."""
    results = await asyncio.gather(*jobs, return_exceptions=True)
    return [result for result in results if isinstance(result, BaseException)]


Job = Callable[[Any], Awaitable[object]]
"""A job with its arguments: called with the context only."""
