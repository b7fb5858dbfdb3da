"""What ended badly and is kept: to be listed, shown, retried and discarded."""

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
"""Letters in one round trip."""


ALL_LETTERS: Final = DeadLetterFilter()

_Place = tuple[bytes, float]
"""A job's id, and the time of its death in ms."""


class DeadLetterStore:
    """The dead letters of one Redis database. However many they are, a batch is in memory."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._revive = redis.register_script(RETRY_DEAD.text)
        self._bury = redis.register_script(DISCARD_DEAD.text)

    async def add(self, letter: DeadLetter) -> None:
        """Keeps a letter, in place of an older one of the same job id."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(DEAD_LETTERS, mapping={letter.job_id: letter.encode()})
            pipe.zadd(DEAD_INDEX, {letter.job_id: _ms(letter.failed_at)})
            await pipe.execute()

    async def count(self, where: DeadLetterFilter = ALL_LETTERS) -> int:
        if not where.reads:
            return int(await self._redis.zcount(DEAD_INDEX, _oldest(where), _newest(where)))
        return sum([1 async for _ in self.walk(where)])

    async def get(self, job_id: str) -> DeadLetter | None:
        found = await self._read([(job_id.encode(), 0)])
        return found[0][1] if found else None

    async def find(
        self, where: DeadLetterFilter = ALL_LETTERS, limit: int | None = None
    ) -> list[DeadLetter]:
        """The newest first."""
        letters: list[DeadLetter] = []
        async for letter in self.walk(where):
            letters.append(letter)
            if len(letters) == limit:
                break
        return letters

    async def walk(self, where: DeadLetterFilter = ALL_LETTERS) -> AsyncIterator[DeadLetter]:
        """The newest first, without those that die meanwhile."""
        async for page in self._pages(where):
            for _, letter in await self._read(page):
                if where(letter):
                    yield letter

    async def retry(self, which: str | DeadLetterFilter) -> int:
        """Puts a job, or all that match, back into its queue, due at once and with all its tries;
        answers how many. Left out: ids that have been enqueued again and are not through, and
        what has failed again since this began."""
        revived = 0
        async for page in self._selected(which):
            fields = [
                part
                for (job_id, died), letter in await self._matching(page, which)
                for part in (job_id, f"{died:.0f}", letter.queue, letter.payload)
            ]
            revived += len(await self._revive(args=[pack((DEFAULT_EXPIRY_MS, fields))]))
        return revived

    async def discard(self, which: str | DeadLetterFilter) -> int:
        """Removes a letter, or all that match; answers how many."""
        discarded = 0
        async for page in self._selected(which):
            if isinstance(which, DeadLetterFilter) and which.reads:
                page = [place for place, _ in await self._matching(page, which)]
            fields = [part for job_id, died in page for part in (job_id, f"{died:.0f}")]
            discarded += int(await self._bury(args=[pack(fields)]))
        return discarded

    async def purge(self, older_than: timedelta) -> int:
        """Retention: discards what died longer ago than that; answers how many."""
        return await self.discard(DeadLetterFilter(failed_before=datetime.now(UTC) - older_than))

    async def payload_of(self, job_id: str) -> bytes | None:
        """The payload of a job that is still queued."""
        payload: bytes | None = await self._redis.get(JOB + job_id)
        return payload

    async def _selected(self, which: str | DeadLetterFilter) -> AsyncIterator[list[_Place]]:
        if isinstance(which, DeadLetterFilter):
            async for page in self._pages(which):
                yield page
        elif (died := await self._redis.zscore(DEAD_INDEX, which)) is not None:
            yield [(which.encode(), died)]

    async def _pages(self, where: DeadLetterFilter) -> AsyncIterator[list[_Place]]:
        """Batches of places, the newest first: each once, whoever adds or removes meanwhile."""
        newest, seen = _newest(where), set[bytes]()
        while True:
            found: list[_Place] = await self._redis.zrevrangebyscore(
                DEAD_INDEX, newest, _oldest(where), 0, BATCH + len(seen), withscores=True
            )
            page = [place for place in found if place[0] not in seen]
            if not page:
                return
            yield page
            # The next batch begins at the time of the last one of this, of which there may be more.
            _, last = page[-1]
            newest, seen = f"{last:.0f}", {job_id for job_id, died in found if died == last}

    async def _matching(
        self, page: Sequence[_Place], which: str | DeadLetterFilter
    ) -> list[tuple[_Place, DeadLetter]]:
        letters = await self._read(page)
        if isinstance(which, str):
            return letters
        return [(place, letter) for place, letter in letters if which(letter)]

    async def _read(self, page: Sequence[_Place]) -> list[tuple[_Place, DeadLetter]]:
        """The letters at these places; those that nobody can read are left out."""
        ids = [job_id for job_id, _ in page]
        found: Sequence[bytes | None] = await self._redis.hmget(DEAD_LETTERS, ids)  # type: ignore[misc]  # typed for both kinds of client
        letters = []
        for place, letter in zip(page, found, strict=True):
            if letter is None:
                continue
            try:
                letters.append((place, DeadLetter.model_validate_json(letter)))
            except ValidationError:
                logger.warning("the dead letter of job %s cannot be read", place[0].decode())
        return letters


def _newest(where: DeadLetterFilter) -> str:
    return "+inf" if where.failed_before is None else f"({_ms(where.failed_before)}"


def _oldest(where: DeadLetterFilter) -> str:
    return "-inf" if where.failed_after is None else str(_ms(where.failed_after))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
