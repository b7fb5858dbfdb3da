"""Dead letters in Redis: found, put back without loss or double, discarded, forgotten in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from arq.jobs import DeserializationError

from jobs.engine.dead_letters import BATCH, DeadLetter, DeadLetters, LetterFilter, fingerprint
from jobs.engine.keys import JOB, RESULT, RETRY
from jobs.engine.pool import Pool, create_pool
from jobs.engine.serializer import serialize
from jobs.errors import DatabaseError

NOW = datetime.now(UTC)


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Pool]:
    async with await create_pool(redis_url) as pool:
        yield pool


@pytest.fixture
def letters(pool: Pool) -> DeadLetters:
    return DeadLetters(pool)


def raised(error: Exception) -> Exception:
    """`error` with a traceback, as one that was raised."""
    with suppress(type(error)):
        raise error
    return error


def payload_of(function: str) -> bytes:
    return serialize({"t": None, "f": function, "a": (7,), "k": {"to": "ada@example.com"}, "et": 1})


def letter(
    job_id: str = "one",
    *,
    function: str = "lead.qualify",
    queue: str = "lead_tasks",
    error: Exception | None = None,
    age: timedelta = timedelta(),
    payload: bytes | None = None,
) -> DeadLetter:
    return DeadLetter.of(
        raised(error or RuntimeError("bug")),
        job_id=job_id,
        function=function,
        queue=queue,
        payload=payload or payload_of(function),
        tries=3,
        enqueued_at=NOW - timedelta(hours=1),
        failed_at=NOW - age,
    )


async def test_a_letter_is_kept_as_it_was(letters: DeadLetters) -> None:
    written = letter(payload=b"\x80\x04pickle")
    await letters.add(written)
    assert await letters.get("one") == written
    assert await letters.get("two") is None
    assert await letters.count() == 1


async def test_personal_data_is_masked_where_it_is_shown() -> None:
    one = letter(error=ValueError("no lead ada@example.com at +14155550123"))
    shown = one.message + one.traceback + one.shown_arguments()
    assert "ada@example.com" not in shown
    assert "4155550123" not in shown
    assert one.arguments() == ([7], {"to": "ada@example.com"})


@pytest.mark.parametrize("payload", [b"\x80pickle", b"[]", b"{}"])
async def test_a_payload_that_is_not_ours_can_still_be_shown(payload: bytes) -> None:
    one = letter(payload=payload)
    with pytest.raises(DeserializationError):
        one.arguments()
    assert "not ours to read" in one.shown_arguments()


async def test_letters_are_found_by_what_they_say(letters: DeadLetters) -> None:
    await letters.add(letter("old", age=timedelta(days=2)))
    await letters.add(letter("new", function="call.dispatch", queue="call_tasks"))
    await letters.add(letter("mid", error=DatabaseError("gone"), age=timedelta(hours=2)))

    async def ids(where: LetterFilter, limit: int | None = None) -> list[str]:
        return [one.job_id for one in await letters.find(where, limit)]

    assert await ids(LetterFilter()) == ["new", "mid", "old"]
    assert await ids(LetterFilter(), 2) == ["new", "mid"]
    assert await ids(LetterFilter(function="lead.qualify")) == ["mid", "old"]
    assert await ids(LetterFilter(queue="call_tasks")) == ["new"]
    assert await ids(LetterFilter(error_class="DatabaseError")) == ["mid"]
    assert await ids(LetterFilter(failed_before=NOW - timedelta(days=1))) == ["old"]
    (new,) = await letters.find(LetterFilter(function="call.dispatch"))
    assert await ids(LetterFilter(fingerprint=new.fingerprint)) == ["new"]


async def test_retrying_one(letters: DeadLetters, pool: Pool) -> None:
    one = letter()
    await letters.add(one)
    await pool.mset({RESULT + "one": b"kept", RETRY + "one": b"3"})
    assert await letters.retry("one") == 1
    assert await pool.get(JOB + "one") == one.payload
    assert await pool.zscore("lead_tasks", "one") is not None
    assert await pool.exists(RESULT + "one", RETRY + "one") == 0
    assert await letters.count() == 0
    assert await letters.retry("one") == 0


async def test_retrying_twice_at_once_puts_it_back_once(letters: DeadLetters, pool: Pool) -> None:
    await letters.add(letter())
    assert sum(await asyncio.gather(*(letters.retry("one") for _ in range(10)))) == 1
    assert await pool.zcard("lead_tasks") == 1


async def test_an_id_that_was_enqueued_again_keeps_its_letter(
    letters: DeadLetters, pool: Pool
) -> None:
    await letters.add(letter())
    await pool.enqueue_job("lead.qualify", 8, _job_id="one")
    assert await letters.retry("one") == 0
    assert await letters.count() == 1


async def test_retrying_and_discarding_all_of_a_kind(letters: DeadLetters, pool: Pool) -> None:
    total = BATCH + 20
    for number in range(total):
        await letters.add(letter(f"job-{number}", function=f"lead.{number % 2}"))
    assert await letters.retry(LetterFilter(function="lead.0")) == total // 2
    assert await pool.zcard("lead_tasks") == total // 2
    assert await letters.discard(LetterFilter(function="lead.1")) == total // 2
    assert await letters.count() == 0
    assert await letters.find() == []


async def test_what_is_older_than_the_retention_goes(letters: DeadLetters) -> None:
    await letters.add(letter("old", age=timedelta(days=31)))
    await letters.add(letter("new"))
    assert await letters.purge(timedelta(days=30)) == 1
    assert [one.job_id for one in await letters.find()] == ["new"]
    assert await letters.discard("new") == 1


def test_failures_at_one_place_have_one_fingerprint() -> None:
    def fail(message: str) -> Exception:
        return raised(ValueError(message))

    assert fingerprint("a.b", fail("lead 1")) == fingerprint("a.b", fail("lead 2"))
    assert fingerprint("a.b", fail("x")) != fingerprint("a.c", fail("x"))
    assert fingerprint("a.b", fail("x")) != fingerprint("a.b", raised(KeyError("x")))
