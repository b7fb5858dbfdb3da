"""The outbox: follow-up jobs that commit with the change that causes them.

They are rows of the transaction. After the commit, the same process publishes them, in one round
trip for all transactions that have committed meanwhile, and deletes the rows in the background. A
relay publishes what a crash or an outage of Redis leaves, in order: see `relay.py`.

A NOTIFY in the transaction wakes the relays. PostgreSQL commits transactions that notify one after
the other, which halves the commits of a busy process (benchmarks/RESULTS.md). So each process
notifies at most once per second, and a relay looks again for a while.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import orjson
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from jobs.engine.client.request import JobRequest
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.store.postgres import tables
from jobs.store.postgres.session import Session, connected
from jobs.store.postgres.statements import encode, insert_many
from jobs.store.protocol import Publish
from jobs.store.relay import NOTIFY_EVERY

CHANNEL = "ringline_outbox"
LINGER = 0.05
"""Seconds for which published rows are collected, so that one statement deletes many."""
LEASE = timedelta(seconds=10)
"""Time that a relay has for one batch; if it dies, another relay takes over after that."""

_ADD = insert_many(
    tables.outbox,
    ("id", "function", "args", "kwargs", "defer_until"),
    key=("id",),
    created_at="clock_timestamp()",
)
_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', '')")
# Another process that has published a row, too, may hold it in order to delete it.
_DELETE = text(
    "DELETE FROM outbox WHERE id = ANY(ARRAY(SELECT id FROM outbox "
    "WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE SKIP LOCKED))"
)
# Rows are not marked as published: marks would leave twice as many dead rows
# behind. A lease, held while there is work, keeps two relays from publishing the same rows.
_NEXT = text(
    "WITH waiting AS MATERIALIZED (SELECT * FROM outbox WHERE id > :after "
    "AND created_at <= clock_timestamp() - CAST(:older_than AS interval) "
    "ORDER BY id LIMIT :limit), "
    "held AS (INSERT INTO leases AS l (name, holder, until) "
    "SELECT 'outbox', :holder, clock_timestamp() + CAST(:lease AS interval) "
    "WHERE EXISTS (SELECT FROM waiting) ON CONFLICT (name) DO UPDATE "
    "SET holder = excluded.holder, until = excluded.until "
    "WHERE l.holder = excluded.holder OR l.until < clock_timestamp() RETURNING name) "
    "SELECT id, function, CAST(args AS text), CAST(kwargs AS text), defer_until "
    "FROM waiting WHERE EXISTS (SELECT FROM held) ORDER BY id"
)
_RELEASE = text(
    "UPDATE leases SET until = clock_timestamp() WHERE name = 'outbox' AND holder = :holder"
)
_COUNT = text("SELECT count(*) FROM outbox")
_FIRST = UUID(int=0)

log = structlog.get_logger(__name__)


class Outbox:
    """Publishes the jobs of committed transactions, those of concurrent transactions together."""

    def __init__(self, engine: AsyncEngine, publish: Publish) -> None:
        self._engine = engine
        self._publish = publish
        self._holder = uuid4()
        self._notified = -NOTIFY_EVERY
        self._waiting: list[tuple[Sequence[JobRequest], asyncio.Future[None]]] = []
        self._published: list[str] = []
        self._publishing: asyncio.Task[None] | None = None
        self._deleting: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._relayed = _FIRST
        self._turn = asyncio.Lock()

    async def write(self, session: Session, jobs: Sequence[JobRequest]) -> float | None:
        """Add jobs to a transaction.

        Returns:
            The time of the notification, for `committed`; None if there was none.

        Raises:
            TypeError: An argument has no JSON form.
        """
        if not jobs:
            return None
        await session.run(_ADD, {"rows": encode([_row_of(job) for job in jobs])})
        now = asyncio.get_running_loop().time()
        if now - self._notified < NOTIFY_EVERY:
            return None
        await session.rows(_NOTIFY)
        return now

    async def committed(self, jobs: Sequence[JobRequest], notified: float | None) -> None:
        """Publish the jobs of a committed transaction, or leave them to a relay."""
        if not jobs:
            return
        if notified is not None:
            self._notified = notified
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((jobs, done))
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish_all())
        await done

    async def _publish_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._publish_now([job for jobs, _ in batch for job in jobs])
            finally:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)

    async def _publish_now(self, jobs: Sequence[JobRequest]) -> None:
        try:
            await self._publish(jobs)
        except Exception as error:  # noqa: BLE001  # the commit stands; a relay publishes later
            log.warning("outbox.publish_failed", jobs=len(jobs), error=type(error).__name__)
            return
        self._published += [job.job_id for job in jobs if job.job_id]
        if self._deleting is None or self._deleting.done():
            self._deleting = asyncio.create_task(self._delete_all())

    async def _delete_all(self) -> None:
        while self._published:
            if not self._closing.is_set():
                await self._linger()
            ids, self._published = self._published, []
            try:
                async with self._session() as session:
                    await session.run(_DELETE, {"ids": ids})
            except Exception as error:  # noqa: BLE001  # a relay publishes them again: harmless
                log.warning("outbox.delete_failed", jobs=len(ids), error=type(error).__name__)

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def relay(self, older_than: timedelta, limit: int, after: UUID = _FIRST) -> int:
        """Publish and delete rows that nobody has published; return their number.

        Successive calls continue where the last call stopped, so that they do not scan deleted rows
        again. Errors of publishing are raised.
        """
        async with self._turn:  # the lease keeps out other processes, not tasks of this one
            return await self._relay(older_than, limit, after)

    async def _relay(self, older_than: timedelta, limit: int, after: UUID) -> int:
        async with self._session() as session:
            rows = await session.rows(
                _NEXT,
                {
                    "after": max(self._relayed, after),
                    "older_than": older_than,
                    "lease": LEASE,
                    "holder": self._holder,
                    "limit": limit,
                },
            )
        ids = [row[0] for row in rows]
        followed, self._relayed = self._relayed is not _FIRST, _FIRST
        if ids:
            await self._publish([_job_of(*row) for row in rows])
        if not ids and not followed:
            return 0
        async with self._session() as session:
            if ids:
                await session.run(_DELETE, {"ids": ids})
            if len(ids) == limit:
                self._relayed = ids[-1]
            else:
                await session.run(_RELEASE, {"holder": self._holder})
        return len(ids)

    async def size(self) -> int:
        """Return the number of rows that are not published or not deleted yet."""
        await self._settled()
        async with self._session() as session:
            ((count,),) = await session.rows(_COUNT)
        return int(count)

    async def close(self) -> None:
        """Finish publishing and deleting."""
        self._closing.set()
        await self._settled()

    async def _settled(self) -> None:
        for task in (self._publishing, self._deleting):
            if task is not None:
                await asyncio.wait([task])

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """Open a connection on which each statement is a separate transaction."""
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with connected(engine) as connection:
            yield Session(connection)


def _row_of(job: JobRequest) -> dict[str, object]:
    return {
        "id": job.job_id,
        "function": job.function,
        "args": orjson.Fragment(serialize(job.args)),
        "kwargs": orjson.Fragment(serialize(job.kwargs)),
        "defer_until": job.defer_until,
    }


def _job_of(
    id_: UUID, function: str, args: str, kwargs: str, defer_until: datetime | None
) -> JobRequest:
    return JobRequest(
        function,
        tuple(deserialize(args.encode())),
        deserialize(kwargs.encode()),
        job_id=str(id_),
        defer_until=defer_until,
    )
