"""A ledger of all jobs, read from the append-only file of Redis.

The file is the one record that no worker keeps: every write in order, with the writes of a script
as one transaction. It is complete only if Redis never rewrote it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import hiredis

from jobs.engine.queue.keys import DEAD_LETTERS, JOB, LOST, RESULT, UNKNOWN
from jobs.engine.queue.serializer import deserialize

Command = list[bytes]

_CHUNK: Final = 1 << 20
_SETS: Final = frozenset({b"SET", b"SETEX", b"PSETEX"})
_SETS_MANY: Final = frozenset({b"MSET", b"MSETEX"})
_DELETES: Final = frozenset({b"DEL", b"UNLINK"})
_MARKS: Final = frozenset({b"SELECT", b"MULTI", b"EXEC"})


@dataclass(slots=True)
class Ledger:
    """Counts of the jobs of one Redis. Each end belongs to one enqueuing.

    Attributes:
        enqueued: Jobs enqueued.
        done: Jobs that returned.
        dead: Jobs that ended as dead dead_letters.
        discarded: Jobs that failed, expired or were aborted without a dead letter.
        recovered: Requeues of jobs whose worker was lost.
        twice: Ids of jobs that ended more than once.
        lost: Ids of jobs whose payload disappeared without an end.
        left: Ids of jobs that are still there.
    """

    enqueued: int = 0
    done: int = 0
    dead: int = 0
    discarded: int = 0
    recovered: int = 0
    twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)

    @property
    def ended(self) -> int:
        """Jobs that ended, in any way."""
        return self.done + self.dead + self.discarded


def read_ledger(folder: Path) -> Ledger:
    """Return the ledger of the Redis whose append-only files are in `folder`."""
    files = sorted(folder.glob("*.incr.aof"), key=lambda path: int(path.suffixes[-3][1:]))
    return account(_transactions(command for path in files for command in _commands(path)))


def account(transactions: Iterable[list[Command]]) -> Ledger:
    """Return the ledger of transactions, in their order."""
    ledger, dead_letters = Ledger(), set[str]()
    for commands in transactions:
        _enter(ledger, dead_letters, commands)
    return ledger


@dataclass(slots=True)
class _Writes:
    """The writes of one transaction, by job id."""

    enqueued: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    results: dict[str, bytes] = field(default_factory=dict)
    unqueued: set[str] = field(default_factory=set)
    recovered: int = 0

    def note_set(self, key: bytes, value: bytes) -> None:
        if (job_id := _under(JOB, key)) is not None:
            self.enqueued.append(job_id)
        elif (job_id := _under(RESULT, key)) is not None:
            self.results[job_id] = value

    def note(self, command: bytes, words: list[bytes]) -> None:
        if command in _SETS:
            self.note_set(words[0], words[1] if command == b"SET" else words[2])
        elif command in _SETS_MANY:
            entries = words if command == b"MSET" else words[1 : 1 + 2 * int(words[0])]
            for key, value in zip(entries[::2], entries[1::2], strict=True):
                self.note_set(key, value)
        elif command in _DELETES:
            self.gone.update(job_id for key in words if (job_id := _under(JOB, key)) is not None)
        elif command == b"ZREM":
            self.unqueued.update(map(_text, words[1:]))
        elif command == b"HINCRBY" and words[0] == LOST.encode():
            self.recovered += not words[1].startswith(UNKNOWN.encode())


def _enter(ledger: Ledger, dead_letters: set[str], commands: list[Command]) -> None:
    writes = _Writes()
    for name, *words in commands:
        command = name.upper()
        if words and words[0] == DEAD_LETTERS.encode():
            _note_dead_letters(dead_letters, command, words[1:])
        else:
            writes.note(command, words)
    ledger.enqueued += len(writes.enqueued)
    ledger.left.update(writes.enqueued)
    ledger.recovered += writes.recovered
    for job_id in writes.gone & ledger.left:
        ledger.left.discard(job_id)
        if job_id in dead_letters:
            ledger.dead += 1
        elif job_id in writes.results:
            succeeded = deserialize(writes.results[job_id])["s"]
            ledger.done += succeeded
            ledger.discarded += not succeeded
        elif job_id in writes.unqueued:
            ledger.done += 1  # the result is not kept
        else:
            ledger.lost.append(job_id)
    ledger.twice += sorted(writes.results.keys() - writes.gone)


def _note_dead_letters(dead_letters: set[str], command: bytes, words: list[bytes]) -> None:
    if command in (b"HSET", b"HMSET"):
        dead_letters.update(map(_text, words[::2]))
    elif command == b"HDEL":
        dead_letters.difference_update(map(_text, words))


def _transactions(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """Yield the commands of each transaction, and every other command alone."""
    together: list[Command] | None = None
    for command in commands:
        name = command[0].upper()
        if name == b"MULTI":
            together = []
        elif name == b"EXEC":
            yield together or []
            together = None
        elif name not in _MARKS:
            if together is None:
                yield [command]
            else:
                together.append(command)


def _commands(path: Path) -> Iterator[Command]:
    reader = hiredis.Reader()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            reader.feed(chunk)
            while (command := reader.gets()) is not False:
                yield command


def _under(prefix: str, key: bytes) -> str | None:
    start = prefix.encode()
    return _text(key[len(start) :]) if key.startswith(start) else None


def _text(word: bytes) -> str:
    return word.decode(errors="replace")
