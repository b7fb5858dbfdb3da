"""What ended badly and is kept: to be listed, shown, retried and discarded."""

import hashlib
import logging
import traceback
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from arq.jobs import DeserializationError
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis

from jobs.engine.queue.keys import DEAD_INDEX, DEAD_LETTERS, JOB
from jobs.engine.queue.names import DEFAULT_EXPIRY_MS
from jobs.engine.queue.scripts import BURY, REVIVE, pack
from jobs.engine.queue.serializer import deserialize
from jobs.privacy.error_text import encodable, masked_message, masked_traceback
from jobs.privacy.fields import masked_argument, named

logger = logging.getLogger("jobs.engine")

BATCH: Final = 500
"""Letters in one round trip."""


class DeadLetter(BaseModel):
    """A job that failed for good.

    payload: as it was queued, so that the job can be put back as it was; it may hold personal
    data, which the other fields have masked. parameters: the names of the job's parameters, by
    which it is known what its arguments are. tries: how many were used. fingerprint: the same for
    failures of one function, with one error class, at one place.
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    job_id: str
    function: str
    queue: str
    payload: bytes
    parameters: tuple[str, ...] = ()
    error_class: str
    message: str
    traceback: str
    tries: int
    enqueued_at: datetime
    failed_at: datetime
    fingerprint: str

    @classmethod
    def of(
        cls,
        error: BaseException,
        *,
        job_id: str,
        function: str,
        queue: str,
        payload: bytes,
        tries: int,
        enqueued_at: datetime,
        failed_at: datetime,
        parameters: Sequence[str] = (),
    ) -> "DeadLetter":
        """The letter for `error`, masked: what its text repeats of the arguments too."""
        try:
            arguments = named(*arguments_in(payload), parameters)
        except DeserializationError:
            arguments = []
        return cls(
            job_id=job_id,
            function=encodable(function),
            queue=queue,
            payload=payload,
            parameters=tuple(parameters),
            error_class=type(error).__name__,
            message=masked_message(error, arguments),
            traceback=masked_traceback(error, arguments),
            tries=tries,
            enqueued_at=enqueued_at,
            failed_at=failed_at,
            fingerprint=fingerprint(function, error),
        )

    def encode(self) -> bytes:
        """The letter as it is kept in the hash `keys.DEAD_LETTERS`, under the job's id; its place
        in the zset `keys.DEAD_INDEX` is the time of its death in ms."""
        return self.model_dump_json().encode()

    def arguments(self) -> tuple[Sequence[Any], dict[str, Any]]:
        """The job's arguments. Raises DeserializationError when the payload is not ours to read."""
        return arguments_in(self.payload)

    def shown_arguments(self) -> str:
        """The arguments as text, with personal data masked."""
        try:
            args, kwargs = self.arguments()
            by_place = named(args, {}, self.parameters)
            parts = [
                *(repr(masked_argument(one, name)) for name, one in by_place),
                *(f"{name}={masked_argument(one, name)!r}" for name, one in kwargs.items()),
            ]
        except DeserializationError:
            return f"({len(self.payload)} bytes that are not ours to read)"
        except RecursionError:
            return f"({len(self.payload)} bytes, nested too deeply)"
        return ", ".join(parts)


def arguments_in(payload: bytes) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments in a job's payload. Raises DeserializationError when it is not ours to read."""
    match deserialize(payload):
        case {"a": list(args), "k": dict(kwargs)}:
            return args, kwargs
    raise DeserializationError("not a job's payload")


def fingerprint(function: str, error: BaseException) -> str:
    """Groups failures: by function, error class and the chain of functions that raised."""
    cause, seen = error, {id(error)}
    while cause.__cause__ is not None and id(cause.__cause__) not in seen:
        cause = cause.__cause__
        seen.add(id(cause))  # `raise error from error` is a cause without end
    frames = [
        f"{Path(frame.filename).name}:{frame.name}"
        for frame in traceback.extract_tb(cause.__traceback__, limit=-3)
    ]
    parts = [function, type(error).__name__, type(cause).__name__, *frames]
    return hashlib.sha256(encodable("\n".join(parts)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters; what is None does not matter. failed_before, failed_after: by the queue's
    time, the second one included."""

    function: str | None = None
    queue: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    failed_before: datetime | None = None
    failed_after: datetime | None = None

    def __call__(self, letter: DeadLetter) -> bool:
        """Whether what is in the letter is right; when it failed is told by its place."""
        return all(
            wanted is None or wanted == actual
            for wanted, actual in (
                (self.function, letter.function),
                (self.queue, letter.queue),
                (self.error_class, letter.error_class),
                (self.fingerprint, letter.fingerprint),
            )
        )

    @property
    def reads(self) -> bool:
        """Whether the letters have to be read to know which."""
        return any((self.function, self.queue, self.error_class, self.fingerprint))


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Failures that are the same but for the data. example: the newest of them."""

    fingerprint: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime
    example: DeadLetter


async def grouped(letters: AsyncIterable[DeadLetter]) -> list[LetterGroup]:
    """The groups of these letters, the largest first."""
    groups: dict[str, LetterGroup] = {}
    async for one in letters:
        found = groups.get(one.fingerprint)
        if found is None:
            found = LetterGroup(one.fingerprint, 0, one.failed_at, one.failed_at, one)
        newest = max(found.example, one, key=lambda letter: letter.failed_at)
        groups[one.fingerprint] = LetterGroup(
            one.fingerprint,
            found.count + 1,
            min(found.first_failed_at, one.failed_at),
            newest.failed_at,
            newest,
        )
    return sorted(groups.values(), key=lambda group: (-group.count, group.fingerprint))


_Place = tuple[bytes, float]
"""A job's id, and the time of its death in ms."""


class DeadLetters:
    """The dead letters of one Redis database. However many they are, a batch is in memory."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._revive = redis.register_script(REVIVE.text)
        self._bury = redis.register_script(BURY.text)

    async def add(self, letter: DeadLetter) -> None:
        """Keeps a letter, in place of an older one of the same job id."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(DEAD_LETTERS, mapping={letter.job_id: letter.encode()})
            pipe.zadd(DEAD_INDEX, {letter.job_id: _ms(letter.failed_at)})
            await pipe.execute()

    async def count(self, where: LetterFilter = LetterFilter()) -> int:
        if not where.reads:
            return int(await self._redis.zcount(DEAD_INDEX, _oldest(where), _newest(where)))
        return sum([1 async for _ in self.walk(where)])

    async def get(self, job_id: str) -> DeadLetter | None:
        found = await self._read([(job_id.encode(), 0)])
        return found[0][1] if found else None

    async def find(
        self, where: LetterFilter = LetterFilter(), limit: int | None = None
    ) -> list[DeadLetter]:
        """The newest first."""
        letters: list[DeadLetter] = []
        async for letter in self.walk(where):
            letters.append(letter)
            if len(letters) == limit:
                break
        return letters

    async def walk(self, where: LetterFilter = LetterFilter()) -> AsyncIterator[DeadLetter]:
        """The newest first, without those that die meanwhile."""
        async for page in self._pages(where):
            for _, letter in await self._read(page):
                if where(letter):
                    yield letter

    async def retry(self, which: str | LetterFilter) -> int:
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

    async def discard(self, which: str | LetterFilter) -> int:
        """Removes a letter, or all that match; answers how many."""
        discarded = 0
        async for page in self._selected(which):
            if isinstance(which, LetterFilter) and which.reads:
                page = [place for place, _ in await self._matching(page, which)]
            fields = [part for job_id, died in page for part in (job_id, f"{died:.0f}")]
            discarded += int(await self._bury(args=[pack(fields)]))
        return discarded

    async def purge(self, older_than: timedelta) -> int:
        """Retention: discards what died longer ago than that; answers how many."""
        return await self.discard(LetterFilter(failed_before=datetime.now(UTC) - older_than))

    async def payload_of(self, job_id: str) -> bytes | None:
        """The payload of a job that is still queued."""
        payload: bytes | None = await self._redis.get(JOB + job_id)
        return payload

    async def _selected(self, which: str | LetterFilter) -> AsyncIterator[list[_Place]]:
        if isinstance(which, LetterFilter):
            async for page in self._pages(which):
                yield page
        elif (died := await self._redis.zscore(DEAD_INDEX, which)) is not None:
            yield [(which.encode(), died)]

    async def _pages(self, where: LetterFilter) -> AsyncIterator[list[_Place]]:
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
        self, page: Sequence[_Place], which: str | LetterFilter
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


def _newest(where: LetterFilter) -> str:
    return "+inf" if where.failed_before is None else f"({_ms(where.failed_before)}"


def _oldest(where: LetterFilter) -> str:
    return "-inf" if where.failed_after is None else str(_ms(where.failed_after))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
