"""Dead letters: jobs that failed permanently, with their filters and groups."""

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
    """A job that failed permanently.

    Attributes:
        job_id: Id of the job.
        function: Name of the job.
        queue: Queue of the job.
        payload: Serialized job as it was enqueued, for a retry. It may hold personal data. The
            other fields have personal data masked.
        parameters: Names of the job's parameters, to identify arguments with personal data.
        error_class: Class of the error.
        message: Message of the error.
        traceback: Traceback of the error.
        tries: Number of tries used.
        enqueued_at: Time of enqueuing.
        failed_at: Time of the failure.
        fingerprint: Identifies failures of one function with one error class in one place.
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
        """Create the dead letter of an error, with personal data masked.

        Args:
            error: Error that ended the job.
            job_id: Id of the job.
            function: Name of the job.
            queue: Queue of the job.
            payload: Serialized job as it was enqueued.
            tries: Number of tries used.
            enqueued_at: Time of enqueuing.
            failed_at: Time of the failure.
            parameters: Names of the job's parameters.

        Returns:
            The dead letter. Argument values that the error's text repeats are masked, too.
        """
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
        """Encode the dead letter for the hash `keys.DEAD_LETTERS`.

        Returns:
            JSON. The hash field is the job id. The score in the zset `keys.DEAD_INDEX` is the time
            of the failure, in POSIX milliseconds.
        """
        return self.model_dump_json().encode()

    def arguments(self) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the job's arguments.

        Returns:
            Positional and keyword arguments.

        Raises:
            DeserializationError: The payload is not JSON of this project.
        """
        return arguments_in(self.payload)

    def shown_arguments(self) -> str:
        """Return the job's arguments as text, with personal data masked.

        Returns:
            Source-like text, or a remark in parentheses if the payload cannot be read.
        """
        try:
            args, kwargs = self.arguments()
            positional = named_arguments(args, {}, self.parameters)
            parts = [
                *(repr(mask_argument(value, name)) for name, value in positional),
                *(f"{name}={mask_argument(value, name)!r}" for name, value in kwargs.items()),
            ]
        except DeserializationError:
            return f"({len(self.payload)} bytes in an unknown format)"
        except RecursionError:
            return f"({len(self.payload)} bytes, nested too deeply)"
        return ", ".join(parts)


def arguments_in(payload: bytes) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return the arguments in a payload.

    Args:
        payload: Serialized job.

    Returns:
        Positional and keyword arguments.

    Raises:
        DeserializationError: The payload is not JSON of this project.
    """
    match deserialize(payload):
        case {"a": list(args), "k": dict(kwargs)}:
            return args, kwargs
    raise DeserializationError("not a job's payload")


def fingerprint(function: str, error: BaseException) -> str:
    """Return an id that groups equal failures.

    Args:
        function: Name of the job.
        error: Error that ended the job.

    Returns:
        12 hexadecimal digits, derived from the function, the error class, the class of the root
        cause, and the last three frames of the root cause's traceback.
    """
    cause, seen = error, {id(error)}
    while cause.__cause__ is not None and id(cause.__cause__) not in seen:
        cause = cause.__cause__
        seen.add(id(cause))  # `raise error from error` makes a cycle
    frames = [
        f"{Path(frame.filename).name}:{frame.name}"
        for frame in traceback.extract_tb(cause.__traceback__, limit=-3)
    ]
    parts = [function, type(error).__name__, type(cause).__name__, *frames]
    return hashlib.sha256(escape_surrogates("\n".join(parts)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Selects dead letters. None matches everything.

    Attributes:
        function: Name of the job.
        queue: Queue of the job.
        error_class: Class of the error.
        fingerprint: Fingerprint of the failure.
        failed_before: Upper bound of the time of failure, exclusive, by the clock of Redis.
        failed_after: Lower bound of the time of failure, inclusive, by the clock of Redis.
    """

    function: str | None = None
    queue: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    failed_before: datetime | None = None
    failed_after: datetime | None = None

    def __call__(self, dead_letter: DeadLetter) -> bool:
        """Match a dead letter's content. The store matches the times, by the index.

        Args:
            dead_letter: Dead letter to match.

        Returns:
            True if all fields but the times match.
        """
        return all(
            expected is None or expected == actual
            for expected, actual in (
                (self.function, dead_letter.function),
                (self.queue, dead_letter.queue),
                (self.error_class, dead_letter.error_class),
                (self.fingerprint, dead_letter.fingerprint),
            )
        )

    @property
    def needs_content(self) -> bool:
        """Return whether matching requires reading the dead letters."""
        return any((self.function, self.queue, self.error_class, self.fingerprint))


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Failures with the same fingerprint.

    Attributes:
        fingerprint: Fingerprint of the failures.
        count: Number of dead letters.
        first_failed_at: Time of the oldest failure.
        last_failed_at: Time of the newest failure.
        example: Newest dead letter.
    """

    fingerprint: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime
    example: DeadLetter


async def group_dead_letters(dead_letters: AsyncIterable[DeadLetter]) -> list[DeadLetterGroup]:
    """Group dead letters by fingerprint.

    Args:
        dead_letters: Dead letters in any order.

    Returns:
        The groups, largest first.
    """
    groups: dict[str, DeadLetterGroup] = {}
    async for dead_letter in dead_letters:
        key, failed_at = dead_letter.fingerprint, dead_letter.failed_at
        group = groups.get(key) or DeadLetterGroup(key, 0, failed_at, failed_at, dead_letter)
        newest = max(group.example, dead_letter, key=lambda candidate: candidate.failed_at)
        groups[key] = DeadLetterGroup(
            key,
            group.count + 1,
            min(group.first_failed_at, failed_at),
            newest.failed_at,
            newest,
        )
    return sorted(groups.values(), key=lambda group: (-group.count, group.fingerprint))
