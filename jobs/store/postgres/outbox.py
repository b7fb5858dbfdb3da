"""The outbox: follow-up jobs that commit with the change that causes them.

They are rows of the transaction. Right after the commit the same process publishes them, in one
round trip for all transactions that committed meanwhile, and deletes the rows in the background.
What a crash or an absent Redis leaves is published by a relay, in order: see `relay.py`.

A NOTIFY in the transaction tells the relays to look. PostgreSQL lets transactions that notify
commit one after the other only, which halves the commits of a busy process (benchmarks/RESULTS.md),
so each process notifies at most once a second, and a relay looks again for a while after it.
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
"""Seconds for which published rows are gathered, so that one statement deletes many."""
LEASE = timedelta(seconds=10)
"""How long a relay has for one batch; when it dies, another one takes over after that."""

_ADD = insert_many(
    tables.outbox,
    ("id", "function", "args", "kwargs", "defer_until"),
    key=("id",),
    created_at="clock_timestamp()",
)
_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', '')")
# A row that is locked is being deleted by another process, which published it too.
_DELETE = text(
    "DELETE FROM outbox WHERE id = ANY(ARRAY(SELECT id FROM outbox "
    "WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE SKIP LOCKED))"
)
# Rows are left as they are until they are deleted: to mark them would leave twice the dead ones
# behind. So that no two relays publish the same, one at a time holds the lease, if there is work.
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
    """Publishes the jobs of committed transactions, those of concurrent ones together."""

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
        """Adds the jobs to the transaction; answers when it notified, for `committed`.

        Raises TypeError for arguments without a form in JSON.
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
        """Returns once the jobs are published, or have to wait for a relay."""
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
        """Publishes and deletes rows after that id that nobody published; answers how many.

        Calls that follow on each other go on where the last one stopped, so that they do not
        read again over what was deleted meanwhile. Raises what publishing raises.
        """
        async with self._turn:  # the lease keeps other processes out, not this one's tasks
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
        """Rows that are not published yet, or not deleted yet by another process."""
        await self._settled()
        async with self._session() as session:
            ((count,),) = await session.rows(_COUNT)
        return int(count)

    async def close(self) -> None:
        """Publishes and deletes what is under way."""
        self._closing.set()
        await self._settled()

    async def _settled(self) -> None:
        for task in (self._publishing, self._deleting):
            if task is not None:
                await asyncio.wait([task])

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """A connection on which each statement is a transaction of its own."""
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
