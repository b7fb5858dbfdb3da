"""TODO."""

import hashlib
import traceback
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from arq.jobs import DeserializationError
from pydantic import BaseModel, ConfigDict

from jobs.engine.queue.serializer import deserialize
from jobs.privacy.error_text import escape_surrogates, mask_message, mask_traceback
from jobs.privacy.fields import mask_argument, named_arguments


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
            arguments = named_arguments(*arguments_in(payload), parameters)
        except DeserializationError:
            arguments = []
        return cls(
            job_id=job_id,
            function=escape_surrogates(function),
            queue=queue,
            payload=payload,
            parameters=tuple(parameters),
            error_class=type(error).__name__,
            message=mask_message(error, arguments),
            traceback=mask_traceback(error, arguments),
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
            by_place = named_arguments(args, {}, self.parameters)
            parts = [
                *(repr(mask_argument(one, name)) for name, one in by_place),
                *(f"{name}={mask_argument(one, name)!r}" for name, one in kwargs.items()),
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
    return hashlib.sha256(escape_surrogates("\n".join(parts)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
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
class DeadLetterGroup:
    """Failures that are the same but for the data. example: the newest of them."""

    fingerprint: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime
    example: DeadLetter


async def group_dead_letters(letters: AsyncIterable[DeadLetter]) -> list[DeadLetterGroup]:
    """The groups of these letters, the largest first."""
    groups: dict[str, DeadLetterGroup] = {}
    async for one in letters:
        found = groups.get(one.fingerprint)
        if found is None:
            found = DeadLetterGroup(one.fingerprint, 0, one.failed_at, one.failed_at, one)
        newest = max(found.example, one, key=lambda letter: letter.failed_at)
        groups[one.fingerprint] = DeadLetterGroup(
            one.fingerprint,
            found.count + 1,
            min(found.first_failed_at, one.failed_at),
            newest.failed_at,
            newest,
        )
    return sorted(groups.values(), key=lambda group: (-group.count, group.fingerprint))
