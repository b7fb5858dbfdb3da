"""The store on PostgreSQL, and its unit of work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from jobs.clock import Clock
from jobs.engine.client.request import JobRequest
from jobs.store.ids import TimeOrderedIds, first_id_at
from jobs.store.postgres.analytics import PostgresAnalytics
from jobs.store.postgres.calls import PostgresCalls
from jobs.store.postgres.campaigns import PostgresCampaigns
from jobs.store.postgres.leads import PostgresLeads
from jobs.store.postgres.notices import listening
from jobs.store.postgres.outbox import CHANNEL, Outbox
from jobs.store.postgres.session import Session, connected, database_errors, open_engine
from jobs.store.protocol import Publish
from jobs.store.relay import OLD_ENOUGH, RECENT, keep_relaying

RELAYED_AT_ONCE: Final = 1000


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
        self, function: str, /, *args: object, defer_until: datetime | None = None, **kwargs: object
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
        self._clock = clock
        self._new_id = TimeOrderedIds(clock)
        self._relaying: asyncio.Task[None] | None = None

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
        """Connect to a migrated database.

        Args:
            database_url: The database.
            publish: Receives the jobs of committed transactions, such as `pool.enqueue_many`.
            clock: The time of ids.
            pool_size: Connections at most.
            synchronous_commit: With `off`, a crash of the server may lose the transactions of its
                last moments (about 0.6 s), but none of them in part.

        Raises:
            DatabaseError: The database cannot be reached.
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
            notified = await self._outbox.write(session, work.enqueued)
            with database_errors():
                await connection.commit()
        await self._outbox.committed(work.enqueued, notified)

    async def relay(self, older_than: timedelta, limit: int = RELAYED_AT_ONCE) -> int:
        return await self._outbox.relay(older_than, limit)

    def keep_relaying(self) -> None:
        if self._relaying is None:
            self._relaying = asyncio.create_task(
                keep_relaying(partial(listening, self._engine, CHANNEL), self._look)
            )

    async def _look(self, everything: bool) -> int:
        after = UUID(int=0) if everything else first_id_at(self._clock.ago(RECENT))
        published = 0
        while count := await self._outbox.relay(OLD_ENOUGH, RELAYED_AT_ONCE, after):
            published += count
        return published

    async def outbox_size(self) -> int:
        return await self._outbox.size()

    async def close(self) -> None:
        if self._relaying is not None:
            self._relaying.cancel()
            await asyncio.wait([self._relaying])
        await self._outbox.close()
        await self._engine.dispose()
