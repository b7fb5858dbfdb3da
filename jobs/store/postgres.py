"""The store on PostgreSQL: its unit of work, and its opening and closing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from jobs.engine.clock import Clock
from jobs.engine.pool import JobRequest
from jobs.store import outbox
from jobs.store.analytics import PostgresAnalytics
from jobs.store.calls import PostgresCalls
from jobs.store.campaigns import PostgresCampaigns
from jobs.store.ids import TimeOrderedIds
from jobs.store.leads import PostgresLeads
from jobs.store.outbox import Outbox
from jobs.store.protocol import Publish
from jobs.store.session import Session, connected, database_errors, open_engine


class PostgresWork:
    """Implements `protocol.Work` over one connection."""

    def __init__(self, session: Session, new_id: TimeOrderedIds) -> None:
        self.leads = PostgresLeads(session, new_id)
        self.campaigns = PostgresCampaigns(session, new_id)
        self.calls = PostgresCalls(session)
        self.analytics = PostgresAnalytics(session)
        self.enqueued: list[JobRequest] = []
        self._new_id = new_id

    def enqueue(
        self, function: str, *args: object, defer_until: datetime | None = None, **kwargs: object
    ) -> UUID:
        job_id = self._new_id()
        self.enqueued.append(
            JobRequest(function, args, kwargs, job_id=str(job_id), defer_until=defer_until)
        )
        return job_id


class PostgresStore:
    """Implements `protocol.Store`; made by `open`."""

    def __init__(self, engine: AsyncEngine, publish: Publish, clock: Clock) -> None:
        self._engine = engine
        self._outbox = Outbox(engine, publish)
        self._new_id = TimeOrderedIds(clock)

    @classmethod
    async def open(
        cls,
        database_url: str,
        *,
        publish: Publish,
        clock: Clock,
        pool_size: int = 10,
        synchronous_commit: Literal["on", "off"] = "on",
    ) -> "PostgresStore":
        """Connects to a migrated database. Raises DatabaseError when it cannot be reached.

        publish: takes the jobs of committed transactions, such as `pool.enqueue_many`.
        clock: gives the ids their time.
        pool_size: connections at most. synchronous_commit: with `off`, a crash of the server may
        lose the transactions of its last moments (about 0.6 s), though none of them in part.
        """
        engine = open_engine(
            database_url, pool_size=pool_size, synchronous_commit=synchronous_commit
        )
        try:
            async with connected(engine):
                return cls(engine, publish, clock)
        except BaseException:
            await engine.dispose()
            raise

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PostgresWork]:
        async with connected(self._engine) as connection:
            session = Session(connection)
            work = PostgresWork(session, self._new_id)
            yield work
            await outbox.write(session, work.enqueued)
            with database_errors():
                await connection.commit()
        if work.enqueued:
            await self._outbox.committed(work.enqueued)

    async def relay(self, older_than: timedelta, limit: int = 1000) -> int:
        return await self._outbox.relay(older_than, limit)

    async def outbox_size(self) -> int:
        return await self._outbox.size()

    async def close(self) -> None:
        await self._outbox.close()
        await self._engine.dispose()
