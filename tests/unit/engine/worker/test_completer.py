"""Finishes that come at the worst moment are sent all the same."""

import asyncio
from collections.abc import Sequence

import pytest
from redis.exceptions import ResponseError

from jobs.engine.queue.claim import Claim, Completion
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.engine.worker.completer import Completer


class SlowClaims(QueueOperations):
    """Answers when told to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.answer = asyncio.get_running_loop().create_future()

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        await self.answer
        self.taken += [one.claim.job_id for one in batch]
        return []


def finish_of(job_id: str) -> Completion:
    return Completion.requeue(Claim(job_id, "q", b"1", "token", b"", 0.0))


async def test_a_finish_that_comes_as_the_last_call_ends_is_sent() -> None:
    claims = SlowClaims()
    finisher = Completer(claims, on_settled=lambda finishes: None)
    finisher.add(finish_of("first"))
    await asyncio.sleep(0)  # it is under way
    claims.answer.set_result(None)  # its sender goes on, and ends, in the next turn; and then:
    asyncio.get_running_loop().call_soon(finisher.add, finish_of("second"))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await finisher.drain()
    assert claims.taken == ["first", "second"]


class PickyClaims(QueueOperations):
    """Can send anything but this."""

    def __init__(self, unsendable: str) -> None:
        self.taken: list[str] = []
        self.unsendable = unsendable

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        ids = [one.claim.job_id for one in batch]
        if self.unsendable in ids:
            raise UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed")
        self.taken += ids
        return []


async def test_one_that_cannot_be_sent_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    claims = PickyClaims("bad")
    given_up: list[str] = []
    finisher = Completer(
        claims, on_settled=lambda many: given_up.extend(one.claim.job_id for one in many)
    )
    for job_id in ("first", "bad", "last"):
        finisher.add(finish_of(job_id))
    async with asyncio.timeout(5):
        await finisher.drain()
    assert claims.taken == ["first", "last"]
    assert given_up == ["first", "bad", "last"]
    assert "cannot finish job, its lease will expire" in caplog.text


class HalfTaken(QueueOperations):
    """Takes the first of a batch, and then fails, as a script does that meets a wrong type."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def finish(self, batch: Sequence[Completion]) -> list[int]:
        ids = [one.claim.job_id for one in batch]
        if len(ids) > 1:
            self.taken.append(ids[0])
            raise ResponseError("WRONGTYPE")
        refused = ids[0] in self.taken
        self.taken += ids
        return [0] if refused else []


async def test_what_a_script_took_before_it_failed_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    finisher = Completer(
        HalfTaken(), on_settled=lambda _: None, observe=lambda one: seen.append(one)
    )
    seen: list[Outcome] = []
    for job_id in ("first", "second"):
        finish = finish_of(job_id)
        finish.outcome = Outcome(job_id, "f", "q", OutcomeKind.DONE, 1, 0, 0, 0)
        finisher.add(finish)
    async with asyncio.timeout(5):
        await finisher.drain()
    assert [one.job_id for one in seen] == ["first", "second"]
    assert finisher.refused == 0
