"""Dead letters in Redis: found, put back without loss or double, discarded, forgotten in time."""

import asyncio
import os
import re
import sys
import tracemalloc
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from arq.jobs import DeserializationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.engine.client.pool import Pool
from jobs.engine.queue.dead_letter import (
    DeadLetter,
    DeadLetterFilter,
    fingerprint,
    group_dead_letters,
)
from jobs.engine.queue.dead_letter_store import BATCH, DeadLetterStore
from jobs.engine.queue.keys import (
    ABORT,
    DEAD_INDEX,
    DEAD_LETTERS,
    IN_PROGRESS,
    JOB,
    LOST,
    RESULT,
    RETRY,
)
from jobs.engine.queue.serializer import serialize
from jobs.errors import DatabaseError
from jobs.privacy.error_text import MAX_MESSAGE_LENGTH, MAX_TRACEBACK_LENGTH
from jobs.testing.waiting import wait_until

NOW = datetime.now(UTC)


@pytest.fixture
def letters(pool: Pool) -> DeadLetterStore:
    return DeadLetterStore(pool)


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
    parameters: Sequence[str] = (),
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
        parameters=parameters,
    )


async def test_a_letter_is_kept_as_it_was(letters: DeadLetterStore) -> None:
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


@pytest.mark.parametrize("cut_at", range(0, 30, 5))
async def test_no_half_of_a_name_is_shown_where_the_text_is_cut(cut_at: int) -> None:
    name = "Wilhelmina Featherstonehaugh"
    start, end = "x" * (MAX_MESSAGE_LENGTH - cut_at - 1), "y" * (MAX_TRACEBACK_LENGTH - cut_at - 1)
    payload = serialize({"t": None, "f": "lead.greet", "a": [name], "k": {}, "et": 1})
    one = letter(error=ValueError(f"{start} {name} {end}"), payload=payload, parameters=["name"])
    shown = one.message + one.traceback
    assert not re.search("Wilh|mina|Feat|augh", shown)


async def test_a_long_message_is_cut_and_says_so() -> None:
    one = letter(error=ValueError("x" * 5_000_000))
    assert one.message.startswith("x" * MAX_MESSAGE_LENGTH + "… (cut")
    assert len(one.encode()) < 2 * (MAX_MESSAGE_LENGTH + MAX_TRACEBACK_LENGTH)


class MuteError(Exception):
    def __str__(self) -> str:
        raise AttributeError("message")


async def test_an_error_that_cannot_be_told_has_a_letter_all_the_same(
    letters: DeadLetterStore,
) -> None:
    await letters.add(letter("odd", error=ValueError("no file \udcff")))
    await letters.add(letter("mute", error=MuteError()))
    odd, mute = await letters.get("odd"), await letters.get("mute")
    assert odd is not None
    assert odd.message == r"no file \udcff"
    assert mute is not None
    assert (mute.error_class, "AttributeError" in mute.message) == ("MuteError", True)


async def test_arguments_too_deep_to_be_masked_are_not_shown() -> None:
    deep = b"[" * 1000 + b'"Ada Lovelace"' + b"]" * 1000
    payload = b'{"t": null, "f": "f", "a": [%b], "k": {}, "et": 1}' % deep
    one = letter(error=ValueError("no Ada Lovelace"), payload=payload)
    shown = one.message + one.traceback + one.shown_arguments()
    assert "Ada" not in shown
    assert "nested too deeply" in one.shown_arguments()


async def test_letters_are_found_by_what_they_say(letters: DeadLetterStore) -> None:
    await letters.add(letter("old", age=timedelta(days=2)))
    await letters.add(letter("new", function="call.dispatch", queue="call_tasks"))
    await letters.add(letter("mid", error=DatabaseError("gone"), age=timedelta(hours=2)))

    async def ids(where: DeadLetterFilter, limit: int | None = None) -> list[str]:
        return [one.job_id for one in await letters.find(where, limit)]

    assert await ids(DeadLetterFilter()) == ["new", "mid", "old"]
    assert await ids(DeadLetterFilter(), 2) == ["new", "mid"]
    assert await ids(DeadLetterFilter(function="lead.qualify")) == ["mid", "old"]
    assert await ids(DeadLetterFilter(queue="call_tasks")) == ["new"]
    assert await ids(DeadLetterFilter(error_class="DatabaseError")) == ["mid"]
    assert await ids(DeadLetterFilter(failed_before=NOW - timedelta(days=1))) == ["old"]
    assert await ids(DeadLetterFilter(failed_after=NOW - timedelta(days=1))) == ["new", "mid"]
    (new,) = await letters.find(DeadLetterFilter(function="call.dispatch"))
    assert await ids(DeadLetterFilter(fingerprint=new.fingerprint)) == ["new"]


async def test_letters_are_counted(letters: DeadLetterStore) -> None:
    for number in range(5):
        await letters.add(letter(str(number), age=timedelta(days=number)))
    await letters.add(letter("other", error=DatabaseError("gone")))
    assert await letters.count() == 6
    assert await letters.count(DeadLetterFilter(failed_before=NOW - timedelta(days=1.5))) == 3
    assert await letters.count(DeadLetterFilter(error_class="DatabaseError")) == 1


async def test_failures_that_are_the_same_are_one_group(letters: DeadLetterStore) -> None:
    for number in range(3):
        await letters.add(letter(f"bug-{number}", age=timedelta(hours=number)))
    await letters.add(letter("gone", error=DatabaseError("gone")))
    largest, other = await group_dead_letters(letters.walk())
    assert (largest.count, other.count) == (3, 1)
    assert largest.example.job_id == "bug-0"
    assert largest.last_failed_at == NOW
    assert largest.first_failed_at == NOW - timedelta(hours=2)
    (one,) = await letters.find(DeadLetterFilter(fingerprint=other.fingerprint))
    assert one.job_id == "gone"


async def test_a_letter_that_nobody_can_read_hides_no_other(
    letters: DeadLetterStore, pool: Pool
) -> None:
    await letters.add(letter("good"))
    await letters.add(letter("bad", age=timedelta(days=40)))
    await pool.hset(DEAD_LETTERS, "bad", "{}")  # type: ignore[misc]  # typed for both clients
    assert [one.job_id for one in await letters.find()] == ["good"]
    assert await letters.retry(DeadLetterFilter()) == 1
    assert await letters.purge(timedelta(days=30)) == 1
    assert await pool.hlen(DEAD_LETTERS) == 0  # type: ignore[misc]


async def test_a_letter_that_came_meanwhile_is_not_taken_for_the_one_that_was_read(
    letters: DeadLetterStore, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was retried by someone else, and has failed again in another way."""
    read = letters._read

    async def read_and_wait(page: Any) -> Any:
        found = await read(page)
        await letters.add(letter(error=DatabaseError("gone"), age=timedelta(seconds=-1)))
        return found

    await letters.add(letter())
    with monkeypatch.context() as patched:
        patched.setattr(letters, "_read", read_and_wait)
        assert await letters.discard(DeadLetterFilter(error_class="RuntimeError")) == 0
        assert await letters.retry(DeadLetterFilter(error_class="RuntimeError")) == 0
    (left,) = await letters.find()
    assert left.error_class == "DatabaseError"


async def test_all_of_one_moment_are_found(letters: DeadLetterStore, pool: Pool) -> None:
    """A batch of jobs that ends in one script call has one time of death."""
    total = 2 * BATCH + 7
    async with pool.pipeline(transaction=False) as pipe:
        for number in range(total):
            pipe.hset(DEAD_LETTERS, str(number), letter(str(number)).encode())  # type: ignore[arg-type]  # bytes will do
            pipe.zadd(DEAD_INDEX, {str(number): 1000 if number else 2000})
        await pipe.execute()
    assert len({one.job_id async for one in letters.walk()}) == total
    assert await letters.retry(DeadLetterFilter()) == total
    assert await pool.zcard("lead_tasks") == total


async def test_many_letters_are_not_in_memory_at_once(letters: DeadLetterStore, pool: Pool) -> None:
    one = letter()
    large = one.model_copy(update={"traceback": MAX_TRACEBACK_LENGTH * "x"})
    async with pool.pipeline(transaction=False) as pipe:
        for number in range(10 * BATCH):
            encoded = large.model_copy(update={"job_id": str(number)}).encode()
            pipe.hset(DEAD_LETTERS, str(number), encoded)  # type: ignore[arg-type]  # bytes will do
            pipe.zadd(DEAD_INDEX, {str(number): number})
            if number % BATCH == 0:
                await pipe.execute()
        await pipe.execute()
    tracemalloc.start()
    try:
        assert await letters.count(DeadLetterFilter(function=one.function)) == 10 * BATCH
        assert len(await letters.find(limit=3)) == 3
        assert [group.count for group in await group_dead_letters(letters.walk())] == [10 * BATCH]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * BATCH * MAX_TRACEBACK_LENGTH


async def test_retrying_one(letters: DeadLetterStore, pool: Pool) -> None:
    one = letter()
    await letters.add(one)
    await pool.mset({RESULT + "one": b"kept", RETRY + "one": b"3"})
    await pool.hset(LOST, "one", "2")  # type: ignore[misc]  # typed for both kinds of client
    assert await letters.retry("one") == 1
    assert await pool.get(JOB + "one") == one.payload
    assert await pool.zscore("lead_tasks", "one") is not None
    assert await pool.exists(RESULT + "one", RETRY + "one", LOST) == 0
    assert await letters.count() == 0
    assert await letters.retry("one") == 0


async def test_whoever_aborted_the_dead_job_has_not_aborted_the_retried_one(
    letters: DeadLetterStore, pool: Pool
) -> None:
    await letters.add(letter())
    await pool.zadd(ABORT, {"one": 2**45, "other": 2**45})
    assert await letters.retry("one") == 1
    assert await pool.zrange(ABORT, 0, -1) == [b"other"]


async def test_one_whose_id_runs_is_not_retried(letters: DeadLetterStore, pool: Pool) -> None:
    """The end of the running one would take it along."""
    await letters.add(letter())
    await pool.zadd("lead_tasks", {"one": -1})
    await pool.set(IN_PROGRESS + "one", "someone:1", px=60_000)
    assert await letters.retry("one") == 0
    assert await letters.count() == 1
    await pool.delete(IN_PROGRESS + "one")
    assert await letters.retry("one") == 1


async def test_retrying_twice_at_once_puts_it_back_once(
    letters: DeadLetterStore, pool: Pool
) -> None:
    await letters.add(letter())
    assert sum(await asyncio.gather(*(letters.retry("one") for _ in range(10)))) == 1
    assert await pool.zcard("lead_tasks") == 1


async def test_an_id_that_was_enqueued_again_keeps_its_letter(
    letters: DeadLetterStore, pool: Pool
) -> None:
    await letters.add(letter())
    await pool.enqueue_job("lead.qualify", 8, _job_id="one")
    assert await letters.retry("one") == 0
    assert await letters.count() == 1


async def test_retrying_and_discarding_all_of_a_kind(letters: DeadLetterStore, pool: Pool) -> None:
    total = BATCH + 20
    for number in range(total):
        await letters.add(letter(f"job-{number}", function=f"lead.{number % 2}"))
    assert await letters.retry(DeadLetterFilter(function="lead.0")) == total // 2
    assert await pool.zcard("lead_tasks") == total // 2
    assert await letters.discard(DeadLetterFilter(function="lead.1")) == total // 2
    assert await letters.count() == 0
    assert await letters.find() == []


async def test_what_is_older_than_the_retention_goes(letters: DeadLetterStore) -> None:
    await letters.add(letter("old", age=timedelta(days=31)))
    await letters.add(letter("new"))
    assert await letters.purge(timedelta(days=30)) == 1
    assert [one.job_id for one in await letters.find()] == ["new"]
    assert await letters.discard("new") == 1


async def test_a_retry_that_dies_midway_has_lost_and_doubled_nothing(
    letters: DeadLetterStore, pool: Pool, redis_url: str
) -> None:
    """Two at once, and one of them is killed: what it has not put back still has its letter."""
    total = 20 * BATCH
    async with pool.pipeline(transaction=False) as pipe:
        for number in range(total):
            encoded = letter(f"{number}").encode()
            pipe.hset(DEAD_LETTERS, str(number), encoded)  # type: ignore[arg-type]  # bytes will do
            pipe.zadd(DEAD_INDEX, {str(number): number // 3})
        await pipe.execute()
    command = [str(Path(sys.executable).parent / "ringline"), "failed", "retry", "--all"]
    environment = os.environ | {"REDIS_URL": redis_url}
    one, other = [
        await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE)
        for _ in range(2)
    ]
    await wait_until(lambda: pool.zcard("lead_tasks"), timeout=60)
    with suppress(ProcessLookupError):
        one.kill()
    await one.communicate()
    said, _ = await other.communicate()
    assert other.returncode == 0

    queued = {job_id.decode() for job_id in await pool.zrange("lead_tasks", 0, -1)}
    assert len(queued) >= int(said.split()[0])
    left = {one.job_id async for one in letters.walk()}
    assert queued.isdisjoint(left)
    assert len(queued | left) == total
    await letters.retry(DeadLetterFilter())
    assert await pool.zcard("lead_tasks") == total
    assert await letters.count() == 0


FUNCTIONS = ("lead.qualify", "lead.update")
job_ids, few = st.integers(0, 5), st.integers(0, 2)
acts = st.one_of(
    st.tuples(st.just("die"), job_ids),
    st.tuples(st.just("run"), job_ids),
    st.tuples(st.sampled_from(["retry", "discard"]), job_ids, st.integers(1, 3)),
    st.tuples(
        st.just("all"), st.sampled_from([None, *FUNCTIONS]), st.integers(0, 2), st.integers(0, 2)
    ),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(acts, max_size=20))
async def test_whatever_is_done_at_once_a_job_is_in_one_place(
    pool: Pool, script: list[tuple[Any, ...]]
) -> None:
    """Queued, or a dead letter, or gone: never two of them, and never gone by itself."""
    await pool.flushdb()
    letters = DeadLetterStore(pool)
    dead, queued = set[str](), set[str]()

    def matching(function: str | None) -> set[str]:
        return {one for one in dead if function in (None, FUNCTIONS[int(one) % 2])}

    for act in script:
        match act:
            case ("die", number) if str(number) not in queued:
                await letters.add(letter(str(number), function=FUNCTIONS[number % 2]))
                dead.add(str(number))
            case ("run", number) if str(number) in queued:
                await pool.delete(JOB + str(number))
                await pool.zrem("lead_tasks", str(number))
                queued.remove(str(number))
            case ("retry" | "discard" as name, number, times):
                do = letters.retry if name == "retry" else letters.discard
                done = sum(await asyncio.gather(*(do(str(number)) for _ in range(times))))
                assert done == (str(number) in dead)
                if done and name == "retry":
                    queued.add(str(number))
                dead.discard(str(number))
            case ("all", function, retries, discards) if retries + discards:
                where = DeadLetterFilter(function=function)
                expected = matching(function)
                done = sum(
                    await asyncio.gather(
                        *(letters.retry(where) for _ in range(retries)),
                        *(letters.discard(where) for _ in range(discards)),
                    )
                )
                assert done == len(expected)
                dead -= expected
                now_queued = {one.decode() for one in await pool.zrange("lead_tasks", 0, -1)}
                assert queued <= now_queued <= queued | (expected if retries else set())
                assert discards or now_queued == queued | expected
                queued = now_queued
        assert {one.job_id for one in await letters.find()} == dead
        assert {one.decode() for one in await pool.zrange("lead_tasks", 0, -1)} == queued
        keys = {key.decode() for key in await pool.keys(JOB + "*")}
        assert keys == {JOB + one for one in queued}


def test_failures_at_one_place_have_one_fingerprint() -> None:
    def fail(message: str) -> Exception:
        return raised(ValueError(message))

    assert fingerprint("a.b", fail("lead 1")) == fingerprint("a.b", fail("lead 2"))
    assert fingerprint("a.b", fail("x")) != fingerprint("a.c", fail("x"))
    assert fingerprint("a.b", fail("x")) != fingerprint("a.b", raised(KeyError("x")))


def test_causes_that_go_round_in_a_circle_have_an_end() -> None:
    own = raised(KeyError("x"))
    own.__cause__ = own
    assert fingerprint("a.b", own) == fingerprint("a.b", own)
    first, second = raised(KeyError("x")), raised(ValueError("y"))
    first.__cause__, second.__cause__ = second, first
    assert letter(error=first).error_class == "KeyError"
