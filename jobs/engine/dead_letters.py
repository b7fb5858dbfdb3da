"""What ended badly and is kept: to be listed, shown, retried and discarded."""

import hashlib
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from arq.jobs import DeserializationError
from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

from jobs.engine.keys import DEAD_INDEX, DEAD_LETTERS, JOB
from jobs.engine.queues import DEFAULT_EXPIRY_MS
from jobs.engine.scripts import REVIVE, pack
from jobs.engine.serializer import deserialize
from jobs.rules.personal import mask_repeated, masked_argument, named

BATCH: Final = 500
"""Letters in one round trip."""
LONGEST_TRACEBACK: Final = 8000
"""Characters; the end is kept, where the cause stands."""


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
        text = "".join(traceback.format_exception(error))
        try:
            arguments = named(*arguments_in(payload), parameters)
        except DeserializationError:
            arguments = []
        return cls(
            job_id=job_id,
            function=function,
            queue=queue,
            payload=payload,
            parameters=tuple(parameters),
            error_class=type(error).__name__,
            message=mask_repeated(str(error), arguments),
            traceback=mask_repeated(text[-LONGEST_TRACEBACK:], arguments),
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
        except DeserializationError:
            return f"({len(self.payload)} bytes that are not ours to read)"
        parts = [
            *(repr(masked_argument(one, name)) for name, one in named(args, {}, self.parameters)),
            *(f"{name}={masked_argument(one, name)!r}" for name, one in kwargs.items()),
        ]
        return ", ".join(parts)


def arguments_in(payload: bytes) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments in a job's payload. Raises DeserializationError when it is not ours to read."""
    match deserialize(payload):
        case {"a": list(args), "k": dict(kwargs)}:
            return args, kwargs
    raise DeserializationError("not a job's payload")


def fingerprint(function: str, error: BaseException) -> str:
    """Groups failures: by function, error class and the chain of functions that raised."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    frames = [
        f"{Path(frame.filename).name}:{frame.name}"
        for frame in traceback.extract_tb(cause.__traceback__, limit=-3)
    ]
    parts = [function, type(error).__name__, type(cause).__name__, *frames]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters; what is None does not matter. failed_before: for those older than that."""

    function: str | None = None
    queue: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    failed_before: datetime | None = None

    def __call__(self, letter: DeadLetter) -> bool:
        return all(
            wanted is None or wanted == actual
            for wanted, actual in (
                (self.function, letter.function),
                (self.queue, letter.queue),
                (self.error_class, letter.error_class),
                (self.fingerprint, letter.fingerprint),
            )
        ) and (self.failed_before is None or letter.failed_at < self.failed_before)


class DeadLetters:
    """The dead letters of one Redis database."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._revive = redis.register_script(REVIVE.text)

    async def add(self, letter: DeadLetter) -> None:
        """Keeps a letter, in place of an older one of the same job id."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(DEAD_LETTERS, mapping={letter.job_id: letter.encode()})
            pipe.zadd(DEAD_INDEX, {letter.job_id: round(letter.failed_at.timestamp() * 1000)})
            await pipe.execute()

    async def count(self) -> int:
        return int(await self._redis.zcard(DEAD_INDEX))

    async def get(self, job_id: str) -> DeadLetter | None:
        found = await self._read([job_id])
        return found[0] if found else None

    async def find(
        self, where: LetterFilter = LetterFilter(), limit: int | None = None
    ) -> list[DeadLetter]:
        """The newest first."""
        letters: list[DeadLetter] = []
        start = 0
        while limit is None or len(letters) < limit:
            ids = await self._redis.zrevrangebyscore(
                DEAD_INDEX, _score(where.failed_before), "-inf", start=start, num=BATCH
            )
            if not ids:
                break
            start += len(ids)
            letters += filter(where, await self._read([job_id.decode() for job_id in ids]))
        return letters[:limit]

    async def retry(self, which: str | LetterFilter) -> int:
        """Puts a job, or all that match, back into its queue, due at once and with all its tries;
        answers how many. Left out: ids that have been enqueued again in the meantime."""
        revived = 0
        for letters in _batches(await self._matching(which)):
            fields = [part for one in letters for part in (one.job_id, one.queue, one.payload)]
            packed = pack((DEFAULT_EXPIRY_MS, fields))
            revived += len(await self._revive(args=[packed]))
        return revived

    async def discard(self, which: str | LetterFilter) -> int:
        """Removes a letter, or all that match; answers how many."""
        discarded = 0
        for letters in _batches(await self._matching(which)):
            ids = [letter.job_id for letter in letters]
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(DEAD_LETTERS, *ids)
                pipe.zrem(DEAD_INDEX, *ids)
                removed, _ = await pipe.execute()
            discarded += removed
        return discarded

    async def purge(self, older_than: timedelta) -> int:
        """Retention: discards what died longer ago than that; answers how many."""
        return await self.discard(LetterFilter(failed_before=datetime.now(UTC) - older_than))

    async def payload_of(self, job_id: str) -> bytes | None:
        """The payload of a job that is still queued."""
        payload: bytes | None = await self._redis.get(JOB + job_id)
        return payload

    async def _matching(self, which: str | LetterFilter) -> list[DeadLetter]:
        if isinstance(which, LetterFilter):
            return await self.find(which)
        return await self._read([which])

    async def _read(self, job_ids: Sequence[str]) -> list[DeadLetter]:
        found: Sequence[bytes | None] = await self._redis.hmget(DEAD_LETTERS, list(job_ids))  # type: ignore[misc]  # typed for both kinds of client
        return [DeadLetter.model_validate_json(letter) for letter in found if letter is not None]


def _score(before: datetime | None) -> str:
    return "+inf" if before is None else f"({round(before.timestamp() * 1000)}"


def _batches(letters: Sequence[DeadLetter]) -> Iterable[Sequence[DeadLetter]]:
    for start in range(0, len(letters), BATCH):
        yield letters[start : start + BATCH]
