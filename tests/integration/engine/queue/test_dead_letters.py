"""Dead store in Redis: found, put back without loss or double, discarded, forgotten in time."""

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
def store(pool: Pool) -> DeadLetterStore:
    return DeadLetterStore(pool)


def raised(error: Exception) -> Exception:
    """Return `error` with a traceback."""
    with suppress(type(error)):
        raise error
    return error


def payload_of(function: str) -> bytes:
    return serialize({"t": None, "f": function, "a": (7,), "k": {"to": "ada@example.com"}, "et": 1})


def make_dead_letter(
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


async def test_dead_letter_survives_a_round_trip(store: DeadLetterStore) -> None:
    written = make_dead_letter(payload=b"\x80\x04pickle")
    await store.add(written)
    assert await store.get("one") == written
    assert await store.get("two") is None
    assert await store.count() == 1


async def test_personal_data_are_masked_in_texts() -> None:
    dead_letter = make_dead_letter(error=ValueError("no lead ada@example.com at +14155550123"))
    shown = dead_letter.message + dead_letter.traceback + dead_letter.shown_arguments()
    assert "ada@example.com" not in shown
    assert "4155550123" not in shown
    assert dead_letter.arguments() == ([7], {"to": "ada@example.com"})


@pytest.mark.parametrize("payload", [b"\x80pickle", b"[]", b"{}"])
async def test_unknown_payload_is_described(payload: bytes) -> None:
    dead_letter = make_dead_letter(payload=payload)
    with pytest.raises(DeserializationError):
        dead_letter.arguments()
    assert "in an unknown format" in dead_letter.shown_arguments()


@pytest.mark.parametrize("cut_at", range(0, 30, 5))
async def test_truncated_text_shows_no_part_of_a_name(cut_at: int) -> None:
    name = "Wilhelmina Featherstonehaugh"
    start, end = "x" * (MAX_MESSAGE_LENGTH - cut_at - 1), "y" * (MAX_TRACEBACK_LENGTH - cut_at - 1)
    payload = serialize({"t": None, "f": "lead.greet", "a": [name], "k": {}, "et": 1})
    dead_letter = make_dead_letter(
        error=ValueError(f"{start} {name} {end}"), payload=payload, parameters=["name"]
    )
    shown = dead_letter.message + dead_letter.traceback
    assert not re.search("Wilh|mina|Feat|augh", shown)


async def test_long_message_is_truncated_with_a_remark() -> None:
    dead_letter = make_dead_letter(error=ValueError("x" * 5_000_000))
    assert dead_letter.message.startswith("x" * MAX_MESSAGE_LENGTH + "… (cut")
    assert len(dead_letter.encode()) < 2 * (MAX_MESSAGE_LENGTH + MAX_TRACEBACK_LENGTH)


class MuteError(Exception):
    def __str__(self) -> str:
        raise AttributeError("message")


async def test_error_without_a_usable_message_gets_a_dead_letter(
    store: DeadLetterStore,
) -> None:
    await store.add(make_dead_letter("odd", error=ValueError("no file \udcff")))
    await store.add(make_dead_letter("mute", error=MuteError()))
    odd, mute = await store.get("odd"), await store.get("mute")
    assert odd is not None
    assert odd.message == r"no file \udcff"
    assert mute is not None
    assert (mute.error_class, "AttributeError" in mute.message) == ("MuteError", True)


async def test_deeply_nested_arguments_are_not_shown() -> None:
    deep = b"[" * 1000 + b'"Ada Lovelace"' + b"]" * 1000
    payload = b'{"t": null, "f": "f", "a": [%b], "k": {}, "et": 1}' % deep
    dead_letter = make_dead_letter(error=ValueError("no Ada Lovelace"), payload=payload)
    shown = dead_letter.message + dead_letter.traceback + dead_letter.shown_arguments()
    assert "Ada" not in shown
    assert "nested too deeply" in dead_letter.shown_arguments()


async def test_find_filters_by_content_and_time(store: DeadLetterStore) -> None:
    await store.add(make_dead_letter("old", age=timedelta(days=2)))
    await store.add(make_dead_letter("new", function="call.dispatch", queue="call_tasks"))
    await store.add(make_dead_letter("mid", error=DatabaseError("gone"), age=timedelta(hours=2)))

    async def ids(where: DeadLetterFilter, limit: int | None = None) -> list[str]:
        return [found.job_id for found in await store.find(where, limit)]

    assert await ids(DeadLetterFilter()) == ["new", "mid", "old"]
    assert await ids(DeadLetterFilter(), 2) == ["new", "mid"]
    assert await ids(DeadLetterFilter(function="lead.qualify")) == ["mid", "old"]
    assert await ids(DeadLetterFilter(queue="call_tasks")) == ["new"]
    assert await ids(DeadLetterFilter(error_class="DatabaseError")) == ["mid"]
    assert await ids(DeadLetterFilter(failed_before=NOW - timedelta(days=1))) == ["old"]
    assert await ids(DeadLetterFilter(failed_after=NOW - timedelta(days=1))) == ["new", "mid"]
    (new,) = await store.find(DeadLetterFilter(function="call.dispatch"))
    assert await ids(DeadLetterFilter(fingerprint=new.fingerprint)) == ["new"]


async def test_count_filters_by_content_and_time(store: DeadLetterStore) -> None:
    for number in range(5):
        await store.add(make_dead_letter(str(number), age=timedelta(days=number)))
    await store.add(make_dead_letter("other", error=DatabaseError("gone")))
    assert await store.count() == 6
    assert await store.count(DeadLetterFilter(failed_before=NOW - timedelta(days=1.5))) == 3
    assert await store.count(DeadLetterFilter(error_class="DatabaseError")) == 1


async def test_equal_failures_form_one_group(store: DeadLetterStore) -> None:
    for number in range(3):
        await store.add(make_dead_letter(f"bug-{number}", age=timedelta(hours=number)))
    await store.add(make_dead_letter("gone", error=DatabaseError("gone")))
    largest, other = await group_dead_letters(store.walk())
    assert (largest.count, other.count) == (3, 1)
    assert largest.example.job_id == "bug-0"
    assert largest.last_failed_at == NOW
    assert largest.first_failed_at == NOW - timedelta(hours=2)
    (found,) = await store.find(DeadLetterFilter(fingerprint=other.fingerprint))
    assert found.job_id == "gone"


async def test_unreadable_dead_letter_is_skipped_and_purged(
    store: DeadLetterStore, pool: Pool
) -> None:
    await store.add(make_dead_letter("good"))
    await store.add(make_dead_letter("bad", age=timedelta(days=40)))
    await pool.hset(DEAD_LETTERS, "bad", "{}")  # type: ignore[misc]  # typed for both clients
    assert [found.job_id for found in await store.find()] == ["good"]
    assert await store.retry(DeadLetterFilter()) == 1
    assert await store.purge(timedelta(days=30)) == 1
    assert await pool.hlen(DEAD_LETTERS) == 0  # type: ignore[misc]


async def test_dead_letter_replaced_after_reading_is_left_alone(
    store: DeadLetterStore, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client retried the job, which failed again with another error."""
    read = store._read

    async def read_and_wait(page: Any) -> Any:
        dead_letters = await read(page)
        await store.add(make_dead_letter(error=DatabaseError("gone"), age=timedelta(seconds=-1)))
        return dead_letters

    await store.add(make_dead_letter())
    with monkeypatch.context() as patched:
        patched.setattr(store, "_read", read_and_wait)
        assert await store.discard(DeadLetterFilter(error_class="RuntimeError")) == 0
        assert await store.retry(DeadLetterFilter(error_class="RuntimeError")) == 0
    (remaining,) = await store.find()
    assert remaining.error_class == "DatabaseError"


async def test_walk_finds_all_dead_letters_of_one_millisecond(
    store: DeadLetterStore, pool: Pool
) -> None:
    """All jobs of a batch that failed in one script call have the same time."""
    total = 2 * BATCH + 7
    async with pool.pipeline(transaction=False) as pipe:
        for number in range(total):
            pipe.hset(DEAD_LETTERS, str(number), make_dead_letter(str(number)).encode())  # type: ignore[arg-type]  # bytes work, too
            pipe.zadd(DEAD_INDEX, {str(number): 1000 if number else 2000})
        await pipe.execute()
    assert len({found.job_id async for found in store.walk()}) == total
    assert await store.retry(DeadLetterFilter()) == total
    assert await pool.zcard("lead_tasks") == total


async def test_memory_is_bounded_by_the_batch(store: DeadLetterStore, pool: Pool) -> None:
    dead_letter = make_dead_letter()
    large = dead_letter.model_copy(update={"traceback": MAX_TRACEBACK_LENGTH * "x"})
    async with pool.pipeline(transaction=False) as pipe:
        for number in range(10 * BATCH):
            encoded = large.model_copy(update={"job_id": str(number)}).encode()
            pipe.hset(DEAD_LETTERS, str(number), encoded)  # type: ignore[arg-type]  # bytes work, too
            pipe.zadd(DEAD_INDEX, {str(number): number})
            if number % BATCH == 0:
                await pipe.execute()
        await pipe.execute()
    tracemalloc.start()
    try:
        assert await store.count(DeadLetterFilter(function=dead_letter.function)) == 10 * BATCH
        assert len(await store.find(limit=3)) == 3
        assert [group.count for group in await group_dead_letters(store.walk())] == [10 * BATCH]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * BATCH * MAX_TRACEBACK_LENGTH


async def test_retry_requeues_the_job_with_all_tries(store: DeadLetterStore, pool: Pool) -> None:
    dead_letter = make_dead_letter()
    await store.add(dead_letter)
    await pool.mset({RESULT + "one": b"kept", RETRY + "one": b"3"})
    await pool.hset(LOST, "one", "2")  # type: ignore[misc]  # typed for both clients
    assert await store.retry("one") == 1
    assert await pool.get(JOB + "one") == dead_letter.payload
    assert await pool.zscore("lead_tasks", "one") is not None
    assert await pool.exists(RESULT + "one", RETRY + "one", LOST) == 0
    assert await store.count() == 0
    assert await store.retry("one") == 0


async def test_retry_removes_an_old_abort_request(store: DeadLetterStore, pool: Pool) -> None:
    await store.add(make_dead_letter())
    await pool.zadd(ABORT, {"one": 2**45, "other": 2**45})
    assert await store.retry("one") == 1
    assert await pool.zrange(ABORT, 0, -1) == [b"other"]


async def test_retry_skips_a_running_id(store: DeadLetterStore, pool: Pool) -> None:
    """The completion of the running job would remove the new one."""
    await store.add(make_dead_letter())
    await pool.zadd("lead_tasks", {"one": -1})
    await pool.set(IN_PROGRESS + "one", "someone:1", px=60_000)
    assert await store.retry("one") == 0
    assert await store.count() == 1
    await pool.delete(IN_PROGRESS + "one")
    assert await store.retry("one") == 1


async def test_concurrent_retries_requeue_once(store: DeadLetterStore, pool: Pool) -> None:
    await store.add(make_dead_letter())
    assert sum(await asyncio.gather(*(store.retry("one") for _ in range(10)))) == 1
    assert await pool.zcard("lead_tasks") == 1


async def test_retry_skips_an_id_that_is_enqueued_again(store: DeadLetterStore, pool: Pool) -> None:
    await store.add(make_dead_letter())
    await pool.enqueue_job("lead.qualify", 8, _job_id="one")
    assert await store.retry("one") == 0
    assert await store.count() == 1


async def test_retry_and_discard_by_filter(store: DeadLetterStore, pool: Pool) -> None:
    total = BATCH + 20
    for number in range(total):
        await store.add(make_dead_letter(f"job-{number}", function=f"lead.{number % 2}"))
    assert await store.retry(DeadLetterFilter(function="lead.0")) == total // 2
    assert await pool.zcard("lead_tasks") == total // 2
    assert await store.discard(DeadLetterFilter(function="lead.1")) == total // 2
    assert await store.count() == 0
    assert await store.find() == []


async def test_purge_removes_old_dead_letters(store: DeadLetterStore) -> None:
    await store.add(make_dead_letter("old", age=timedelta(days=31)))
    await store.add(make_dead_letter("new"))
    assert await store.purge(timedelta(days=30)) == 1
    assert [found.job_id for found in await store.find()] == ["new"]
    assert await store.discard("new") == 1


async def test_killed_retry_loses_and_duplicates_nothing(
    store: DeadLetterStore, pool: Pool, redis_url: str
) -> None:
    """Two commands retry at once and one is killed: jobs that are not requeued stay dead
    letters."""
    total = 20 * BATCH
    async with pool.pipeline(transaction=False) as pipe:
        for number in range(total):
            encoded = make_dead_letter(f"{number}").encode()
            pipe.hset(DEAD_LETTERS, str(number), encoded)  # type: ignore[arg-type]  # bytes work, too
            pipe.zadd(DEAD_INDEX, {str(number): number // 3})
        await pipe.execute()
    command = [str(Path(sys.executable).parent / "ringline"), "failed", "retry", "--all"]
    environment = os.environ | {"REDIS_URL": redis_url}
    killed, survivor = [
        await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE)
        for _ in range(2)
    ]
    await wait_until(lambda: pool.zcard("lead_tasks"), timeout=60)
    with suppress(ProcessLookupError):
        killed.kill()
    await killed.communicate()
    output, _ = await survivor.communicate()
    assert survivor.returncode == 0

    queued = {job_id.decode() for job_id in await pool.zrange("lead_tasks", 0, -1)}
    assert len(queued) >= int(output.split()[0])
    remaining = {found.job_id async for found in store.walk()}
    assert queued.isdisjoint(remaining)
    assert len(queued | remaining) == total
    await store.retry(DeadLetterFilter())
    assert await pool.zcard("lead_tasks") == total
    assert await store.count() == 0


FUNCTIONS = ("lead.qualify", "lead.update")
job_ids, few = st.integers(0, 5), st.integers(0, 2)
actions = st.one_of(
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
@given(st.lists(actions, max_size=20))
async def test_concurrent_actions_keep_each_job_in_one_place(
    pool: Pool, script: list[tuple[Any, ...]]
) -> None:
    """A job is queued, a dead letter, or removed by an action. It is never two of these."""
    await pool.flushdb()
    store = DeadLetterStore(pool)
    dead, queued = set[str](), set[str]()

    def matching(function: str | None) -> set[str]:
        return {i for i in dead if function in (None, FUNCTIONS[int(i) % 2])}

    for action in script:
        match action:
            case ("die", number) if str(number) not in queued:
                await store.add(make_dead_letter(str(number), function=FUNCTIONS[number % 2]))
                dead.add(str(number))
            case ("run", number) if str(number) in queued:
                await pool.delete(JOB + str(number))
                await pool.zrem("lead_tasks", str(number))
                queued.remove(str(number))
            case ("retry" | "discard" as name, number, times):
                operation = store.retry if name == "retry" else store.discard
                done = sum(await asyncio.gather(*(operation(str(number)) for _ in range(times))))
                assert done == (str(number) in dead)
                if done and name == "retry":
                    queued.add(str(number))
                dead.discard(str(number))
            case ("all", function, retries, discards) if retries + discards:
                where = DeadLetterFilter(function=function)
                expected = matching(function)
                done = sum(
                    await asyncio.gather(
                        *(store.retry(where) for _ in range(retries)),
                        *(store.discard(where) for _ in range(discards)),
                    )
                )
                assert done == len(expected)
                dead -= expected
                now_queued = {job_id.decode() for job_id in await pool.zrange("lead_tasks", 0, -1)}
                assert queued <= now_queued <= queued | (expected if retries else set())
                assert discards or now_queued == queued | expected
                queued = now_queued
        assert {found.job_id for found in await store.find()} == dead
        assert {job_id.decode() for job_id in await pool.zrange("lead_tasks", 0, -1)} == queued
        keys = {key.decode() for key in await pool.keys(JOB + "*")}
        assert keys == {JOB + job_id for job_id in queued}


def test_fingerprint_depends_on_function_class_and_place() -> None:
    def fail(message: str) -> Exception:
        return raised(ValueError(message))

    assert fingerprint("a.b", fail("lead 1")) == fingerprint("a.b", fail("lead 2"))
    assert fingerprint("a.b", fail("x")) != fingerprint("a.c", fail("x"))
    assert fingerprint("a.b", fail("x")) != fingerprint("a.b", raised(KeyError("x")))


def test_fingerprint_handles_cyclic_causes() -> None:
    cyclic = raised(KeyError("x"))
    cyclic.__cause__ = cyclic
    assert fingerprint("a.b", cyclic) == fingerprint("a.b", cyclic)
    first, second = raised(KeyError("x")), raised(ValueError("y"))
    first.__cause__, second.__cause__ = second, first
    assert make_dead_letter(error=first).error_class == "KeyError"
