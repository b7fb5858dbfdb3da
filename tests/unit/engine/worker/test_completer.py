"""Completions are sent in every case: at the worst moment, and beside bad ones."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.exceptions import ResponseError

from jobs.engine.queue.claim import Claim, Completion
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.engine.worker.completer import Completer


class PausedOperations(QueueOperations):
    """Operations that reply once `reply` is resolved."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.reply = asyncio.get_running_loop().create_future()

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        await self.reply
        self.taken += [completion.claim.job_id for completion in batch]
        return []


def completion_of(job_id: str) -> Completion:
    return Completion.requeue(Claim(job_id, "q", b"1", "token", b"", 0.0))


async def test_completion_added_as_the_last_call_ends_is_sent() -> None:
    operations = PausedOperations()
    completer = Completer(operations, on_settled=lambda _: None)
    completer.add(completion_of("first"))
    await asyncio.sleep(0)  # the call is under way
    operations.reply.set_result(None)  # the sender continues and ends in the next turn
    asyncio.get_running_loop().call_soon(completer.add, completion_of("second"))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await completer.drain()
    assert operations.taken == ["first", "second"]


class PickyOperations(QueueOperations):
    """Operations that cannot pack the completion of one job."""

    def __init__(self, unsendable: str) -> None:
        self.taken: list[str] = []
        self.unsendable = unsendable

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        ids = [completion.claim.job_id for completion in batch]
        if self.unsendable in ids:
            raise UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed")
        self.taken += ids
        return []


async def test_unsendable_completion_does_not_hold_up_its_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    operations = PickyOperations("bad")
    settled: list[str] = []
    completer = Completer(
        operations,
        on_settled=lambda completions: settled.extend(
            completion.claim.job_id for completion in completions
        ),
    )
    for job_id in ("first", "bad", "last"):
        completer.add(completion_of(job_id))
    async with asyncio.timeout(5):
        await completer.drain()
    assert operations.taken == ["first", "last"]
    assert settled == ["first", "bad", "last"]
    assert "cannot finish job, its lease will expire" in caplog.text


class FailingOperations(QueueOperations):
    """Operations that take the first completion of a batch and then fail, as a Lua script may."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        ids = [completion.claim.job_id for completion in batch]
        if len(ids) > 1:
            self.taken.append(ids[0])
            raise ResponseError("WRONGTYPE")
        refused = ids[0] in self.taken
        self.taken += ids
        return [0] if refused else []


async def test_completion_taken_by_a_failed_script_counts() -> None:
    outcomes: list[Outcome] = []
    completer = Completer(FailingOperations(), on_settled=lambda _: None, observe=outcomes.append)
    for job_id in ("first", "second"):
        completion = completion_of(job_id)
        completion.outcome = Outcome(job_id, "f", "q", OutcomeKind.DONE, 1, 0, 0, 0)
        completer.add(completion)
    async with asyncio.timeout(5):
        await completer.drain()
    assert [outcome.job_id for outcome in outcomes] == ["first", "second"]
    assert completer.refused == 0
