"""The outbox: follow-up jobs that commit with the change that causes them.

They are rows of the transaction. Right after the commit the same process publishes them, in one
round trip for all transactions that committed meanwhile, and deletes the rows in the background.
What a crash or an absent Redis leaves is published by `relay`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import orjson
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from jobs.engine.pool import JobRequest
from jobs.engine.serializer import deserialize, serialize
from jobs.store import tables
from jobs.store.protocol import Publish
from jobs.store.session import Session, connected
from jobs.store.statements import encode, insert_many

LINGER = 0.05
"""Seconds for which published rows are gathered, so that one statement deletes many."""
LEASE = timedelta(seconds=30)
"""How long a relay has for what it claimed; when it dies, another one takes over after that."""

_ADD = insert_many(
    tables.outbox,
    ("id", "function", "args", "kwargs", "defer_until"),
    created_at="clock_timestamp()",
)
_DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS uuid[]))")
_CLAIM = text(
    "UPDATE outbox AS t SET claimed_until = clock_timestamp() + CAST(:lease AS interval) "
    "FROM (SELECT id FROM outbox WHERE id > :after "
    "AND created_at <= clock_timestamp() - CAST(:older_than AS interval) "
    "AND (claimed_until IS NULL OR claimed_until < clock_timestamp()) "
    "ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED) AS r WHERE t.id = r.id "
    "RETURNING t.id, t.function, CAST(t.args AS text), CAST(t.kwargs AS text), t.defer_until"
)
_RELEASE = text("UPDATE outbox SET claimed_until = NULL WHERE id = ANY(CAST(:ids AS uuid[]))")
_COUNT = text("SELECT count(*) FROM outbox")
_FIRST = UUID(int=0)

log = structlog.get_logger(__name__)


async def write(session: Session, jobs: Sequence[JobRequest]) -> None:
    """Adds the jobs to the transaction. Raises TypeError for arguments without a form in JSON."""
    if not jobs:
        return
    rows = [
        {
            "id": job.job_id,
            "function": job.function,
            "args": orjson.Fragment(serialize(job.args)),
            "kwargs": orjson.Fragment(serialize(job.kwargs)),
            "defer_until": job.defer_until,
        }
        for job in jobs
    ]
    await session.run(_ADD, {"rows": encode(rows)})


class Outbox:
    """Publishes the jobs of committed transactions, those of concurrent ones together."""

    def __init__(self, engine: AsyncEngine, publish: Publish) -> None:
        self._engine = engine
        self._publish = publish
        self._waiting: list[tuple[Sequence[JobRequest], asyncio.Future[None]]] = []
        self._published: list[str] = []
        self._publishing: asyncio.Task[None] | None = None
        self._deleting: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._relayed = _FIRST

    async def committed(self, jobs: Sequence[JobRequest]) -> None:
        """Returns once the jobs are published, or have to wait for the relay."""
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
        except Exception as error:  # noqa: BLE001  # the commit stands; the relay publishes later
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
            except Exception as error:  # noqa: BLE001  # the relay publishes them again: harmless
                log.warning("outbox.delete_failed", jobs=len(ids), error=type(error).__name__)

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def relay(self, older_than: timedelta, limit: int) -> int:
        """Publishes and deletes rows that nobody published; answers how many.

        Calls that follow on each other go on where the last one stopped, so that they do not
        read again over what was deleted meanwhile. Raises what publishing raises.
        """
        async with self._session() as session:
            rows = await session.rows(
                _CLAIM,
                {
                    "after": self._relayed,
                    "older_than": older_than,
                    "lease": LEASE,
                    "limit": limit,
                },
            )
        rows = sorted(rows)
        ids = [row[0] for row in rows]
        self._relayed = ids[-1] if len(ids) == limit else _FIRST
        if ids:
            await self._publish_claimed([_job_of(*row) for row in rows], ids)
        return len(ids)

    async def _publish_claimed(self, jobs: Sequence[JobRequest], ids: Sequence[UUID]) -> None:
        try:
            await self._publish(jobs)
        except Exception:
            async with self._session() as session:
                await session.run(_RELEASE, {"ids": ids})
            raise
        async with self._session() as session:
            await session.run(_DELETE, {"ids": ids})

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
