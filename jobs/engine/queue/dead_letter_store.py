"""Store of dead letters: list, retry and discard jobs that failed permanently."""

import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import ValidationError
from redis.asyncio import Redis

from jobs.engine.connection.script import pack
from jobs.engine.queue.dead_letter import DeadLetter, DeadLetterFilter
from jobs.engine.queue.keys import DEAD_INDEX, DEAD_LETTERS, JOB
from jobs.engine.queue.names import DEFAULT_EXPIRY_MS
from jobs.engine.queue.scripts import DISCARD_DEAD, RETRY_DEAD

logger = logging.getLogger("jobs.engine")

BATCH: Final = 500
"""Number of dead letters per round trip."""


ALL_DEAD_LETTERS: Final = DeadLetterFilter()

_Entry = tuple[bytes, float]
"""An entry of the index: job id, and time of the failure in POSIX milliseconds."""


class DeadLetterStore:
    """Dead letters of one Redis database. At most one batch of them is in memory at a time.

    Args:
        redis: Client of the database.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._retry_script = redis.register_script(RETRY_DEAD.text)
        self._discard_script = redis.register_script(DISCARD_DEAD.text)

    async def add(self, dead_letter: DeadLetter) -> None:
        """Store a dead letter. It replaces an older one with the same job id.

        Args:
            dead_letter: Dead letter to store.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(DEAD_LETTERS, mapping={dead_letter.job_id: dead_letter.encode()})
            pipe.zadd(DEAD_INDEX, {dead_letter.job_id: _ms(dead_letter.failed_at)})
            await pipe.execute()

    async def count(self, where: DeadLetterFilter = ALL_DEAD_LETTERS) -> int:
        """Count dead letters.

        Args:
            where: Selects the dead letters.

        Returns:
            The number of matching dead letters.
        """
        if not where.needs_content:
            return int(await self._redis.zcount(DEAD_INDEX, _oldest(where), _newest(where)))
        return sum([1 async for _ in self.walk(where)])

    async def get(self, job_id: str) -> DeadLetter | None:
        """Return the dead letter of a job.

        Args:
            job_id: Id of the job.

        Returns:
            The dead letter, or None if there is none.
        """
        matches = await self._read([(job_id.encode(), 0)])
        return matches[0][1] if matches else None

    async def find(
        self, where: DeadLetterFilter = ALL_DEAD_LETTERS, limit: int | None = None
    ) -> list[DeadLetter]:
        """Return dead letters.

        Args:
            where: Selects the dead letters.
            limit: Maximum number of dead letters. None for all.

        Returns:
            Matching dead letters, newest first.
        """
        dead_letters: list[DeadLetter] = []
        async for dead_letter in self.walk(where):
            dead_letters.append(dead_letter)
            if len(dead_letters) == limit:
                break
        return dead_letters

    async def walk(self, where: DeadLetterFilter = ALL_DEAD_LETTERS) -> AsyncIterator[DeadLetter]:
        """Iterate over dead letters.

        Args:
            where: Selects the dead letters.

        Yields:
            Matching dead letters, newest first. Dead letters added meanwhile are left out.
        """
        async for page in self._pages(where):
            for _, dead_letter in await self._read(page):
                if where(dead_letter):
                    yield dead_letter

    async def retry(self, selection: str | DeadLetterFilter) -> int:
        """Requeue dead letters, due now and with all their tries.

        Jobs whose id is enqueued again and not finished, and jobs that failed again since this
        call began, are left out.

        Args:
            selection: Job id, or a filter.

        Returns:
            The number of requeued jobs.
        """
        retried = 0
        async for page in self._selected(selection):
            fields = [
                part
                for (job_id, failed_ms), dead_letter in await self._matching(page, selection)
                for part in (job_id, f"{failed_ms:.0f}", dead_letter.queue, dead_letter.payload)
            ]
            retried += len(await self._retry_script(args=[pack((DEFAULT_EXPIRY_MS, fields))]))
        return retried

    async def discard(self, selection: str | DeadLetterFilter) -> int:
        """Remove dead letters.

        Args:
            selection: Job id, or a filter.

        Returns:
            The number of removed dead letters.
        """
        discarded = 0
        async for page in self._selected(selection):
            if isinstance(selection, DeadLetterFilter) and selection.needs_content:
                page = [entry for entry, _ in await self._matching(page, selection)]
            fields = [part for job_id, failed_ms in page for part in (job_id, f"{failed_ms:.0f}")]
            discarded += int(await self._discard_script(args=[pack(fields)]))
        return discarded

    async def purge(self, older_than: timedelta) -> int:
        """Remove old dead letters.

        Args:
            older_than: Minimum age of the dead letters to remove.

        Returns:
            The number of removed dead letters.
        """
        return await self.discard(DeadLetterFilter(failed_before=datetime.now(UTC) - older_than))

    async def payload_of(self, job_id: str) -> bytes | None:
        """Return the payload of a queued job.

        Args:
            job_id: Id of the job.

        Returns:
            The serialized job, or None if it expired or is not queued.
        """
        payload: bytes | None = await self._redis.get(JOB + job_id)
        return payload

    async def _selected(self, selection: str | DeadLetterFilter) -> AsyncIterator[list[_Entry]]:
        if isinstance(selection, DeadLetterFilter):
            async for page in self._pages(selection):
                yield page
        elif (failed_ms := await self._redis.zscore(DEAD_INDEX, selection)) is not None:
            yield [(selection.encode(), failed_ms)]

    async def _pages(self, where: DeadLetterFilter) -> AsyncIterator[list[_Entry]]:
        """Yield batches of index entries, newest first. Each entry is yielded once, even if others
        add or remove entries meanwhile."""
        newest, seen = _newest(where), set[bytes]()
        while True:
            entries: list[_Entry] = await self._redis.zrevrangebyscore(
                DEAD_INDEX, newest, _oldest(where), 0, BATCH + len(seen), withscores=True
            )
            page = [entry for entry in entries if entry[0] not in seen]
            if not page:
                return
            yield page
            # The next batch starts at the time of the last entry, since more may have that time.
            _, last = page[-1]
            newest, seen = f"{last:.0f}", {job_id for job_id, ms in entries if ms == last}

    async def _matching(
        self, page: Sequence[_Entry], selection: str | DeadLetterFilter
    ) -> list[tuple[_Entry, DeadLetter]]:
        matches = await self._read(page)
        if isinstance(selection, str):
            return matches
        return [(entry, dead_letter) for entry, dead_letter in matches if selection(dead_letter)]

    async def _read(self, page: Sequence[_Entry]) -> list[tuple[_Entry, DeadLetter]]:
        """Read the dead letters of index entries. Unreadable dead letters are left out."""
        ids = [job_id for job_id, _ in page]
        stored: Sequence[bytes | None] = await self._redis.hmget(DEAD_LETTERS, ids)  # type: ignore[misc]  # typed for the sync client, too
        dead_letters = []
        for entry, data in zip(page, stored, strict=True):
            if data is None:
                continue
            try:
                dead_letters.append((entry, DeadLetter.model_validate_json(data)))
            except ValidationError:
                logger.warning("skipping unreadable dead letter job_id=%s", entry[0].decode())
        return dead_letters


def _newest(where: DeadLetterFilter) -> str:
    return "+inf" if where.failed_before is None else f"({_ms(where.failed_before)}"


def _oldest(where: DeadLetterFilter) -> str:
    return "-inf" if where.failed_after is None else str(_ms(where.failed_after))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
