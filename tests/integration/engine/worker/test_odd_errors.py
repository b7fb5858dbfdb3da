"""Errors without a usable text, and ends that resemble each other.

Under a worker as `ringline worker` makes it, each job runs as often as its policy allows.
"""

import asyncio
import signal
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from arq.jobs import Job
from arq.worker import func

from jobs.engine import (
    DeadLetter,
    DeadLetterStore,
    EngineSettings,
    Pool,
    create_pool,
    deserialize,
    job,
    retry,
)
from jobs.engine.bootstrap.workers import create_worker, serve
from jobs.engine.queue.keys import ABORT, JOB, RETRY
from jobs.errors import JobError
from jobs.testing.waiting import wait_until
from tests.integration.workers import running

QUEUE = "odd_tasks"

runs: Counter[str] = Counter()
"""How often each job id of the running test was run."""


@pytest.fixture(autouse=True)
def none_has_run() -> None:
    runs.clear()


class MuteError(Exception):
    """As a class is that was made without calling its base."""

    def __str__(self) -> str:
        return str(self.message)  # type: ignore[attr-defined]  # that is what is wrong with it


class EndlessError(Exception):
    """An error that nothing can be asked."""

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise RuntimeError("out of order")


class SlowDownError(Exception):
    def __init__(self, retry_after: object) -> None:
        super().__init__("too many requests")
        self.retry_after = retry_after


def fail(how: str) -> None:
    match how:
        case "no form":
            raise ValueError("no file \udcff")
        case "mute":
            raise MuteError
        case "quotes the mute":
            raise KeyError(MuteError())
        case "its own cause":
            error = KeyError("x")
            raise error from error
        case "very long":
            raise ValueError("x" * 5_000_000)
        case "untellable":
            raise EndlessError
        case "cancelled":
            raise asyncio.CancelledError
        case "bad wait":
            raise SlowDownError(float("inf"))


HOWS = ["no form", "mute", "quotes the mute", "its own cause", "very long", "untellable"]


@job("odd.fail", queue=QUEUE)
@retry(max_retries=1, delay=0.01)
async def odd(ctx: dict[str, Any], how: str) -> None:
    runs[ctx["job_id"]] += 1
    fail(how)


async def plain(ctx: dict[str, Any], how: str) -> None:
    """As arq's users have it: no retries, but for what it raises itself."""
    runs[ctx["job_id"]] += 1
    fail(how)


@job("odd.hang", queue=QUEUE)
@retry(max_retries=0)
async def hang(ctx: dict[str, Any]) -> None:
    runs[ctx["job_id"]] += 1
    await asyncio.Event().wait()


@job("odd.wait", queue=QUEUE)
@retry(max_retries=1, delay=0.01)
async def wait_for(ctx: dict[str, Any], job_id: str) -> None:
    runs[ctx["job_id"]] += 1
    await Job(job_id, ctx["redis"], QUEUE, deserialize).result()


class Odd(EngineSettings):
    queue_name = QUEUE
    functions = (odd, hang, wait_for, func(plain, name="plain"))
    allow_abort_jobs = True
    poll_delay = 0.05


async def work_off(redis_url: str, **options: Any) -> None:
    async with asyncio.timeout(20):
        pool = await create_pool(redis_url)
        await serve(create_worker(Odd, redis_pool=pool, burst=True, **options))


async def letter_of(pool: Pool, job_id: str) -> DeadLetter:
    letter = await DeadLetterStore(pool).get(job_id)
    assert letter is not None
    return letter


@pytest.mark.parametrize("name", ["odd.fail", "plain"])
async def test_an_error_that_is_hard_to_tell_ends_its_job_once(
    pool: Pool, redis_url: str, name: str
) -> None:
    for how in HOWS:
        await pool.enqueue_job(name, how, _queue_name=QUEUE, _job_id=how)
    await work_off(redis_url)
    assert runs == dict.fromkeys(HOWS, 2 if name == "odd.fail" else 1)
    assert {letter.job_id for letter in await DeadLetterStore(pool).find()} == set(HOWS)
    for how in HOWS:
        result = await Job(how, pool, QUEUE, deserialize).result_info()
        assert result is not None
        assert isinstance(result.result, Exception)
    assert (await letter_of(pool, "no form")).message == r"no file \udcff"
    mute = await letter_of(pool, "mute")
    assert "MuteError" in (mute.error_class, *mute.message.split(":"))
    assert await pool.zcard(QUEUE) == 0


async def test_so_does_a_payload_that_is_hard_to_tell(pool: Pool, redis_url: str) -> None:
    arguments = {
        "tagged": '{"$error": {"type": "timedelta", "message": 5}}',
        "deep": "[" * 1000 + "]" * 1000,
    }
    for name, argument in arguments.items():
        payload = f'{{"t": null, "f": "plain", "a": [{argument}, 1], "k": {{}}, "et": 1}}'
        await pool.set(JOB + name, payload)
        await pool.zadd(QUEUE, {name: 1})
    await work_off(redis_url)
    assert {letter.job_id for letter in await DeadLetterStore(pool).find()} == set(arguments)
    assert await pool.zcard(QUEUE) == 0


async def test_a_job_that_is_cancelled_from_within_is_retried_as_its_policy_says(
    pool: Pool, redis_url: str
) -> None:
    queued = await pool.enqueue_job("odd.fail", "cancelled", _job_id="x")
    await work_off(redis_url)
    assert runs["x"] == 2
    letter = await letter_of(pool, "x")
    assert (letter.error_class, letter.tries) == ("JobError", 2)
    assert "CancelledError" in letter.traceback
    assert queued is not None
    with pytest.raises(JobError):
        await queued.result(timeout=1)


async def test_so_is_one_that_waits_for_an_aborted_one(pool: Pool, redis_url: str) -> None:
    async with running(create_worker(Odd, redis_pool=await create_pool(redis_url))):
        aborted = await pool.enqueue_job("odd.hang", _job_id="aborted")
        await pool.enqueue_job("odd.wait", "aborted", _job_id="waits")
        await wait_until(lambda: runs["aborted"] and runs["waits"])
        assert aborted is not None
        assert await aborted.abort(timeout=10)
        await wait_until(lambda: DeadLetterStore(pool).get("waits"))
    assert runs == {"aborted": 1, "waits": 2}
    assert await DeadLetterStore(pool).get("aborted") is None


async def test_a_shutdown_still_costs_no_try(pool: Pool, redis_url: str) -> None:
    worker = create_worker(Odd, redis_pool=await create_pool(redis_url))
    async with running(worker):
        await pool.enqueue_job("odd.hang", _job_id="x")
        await wait_until(lambda: runs["x"])
        worker.handle_sig(signal.SIGUSR1)
    assert await pool.zscore(QUEUE, "x") is not None
    assert await pool.get(RETRY + "x") is None


async def test_a_bad_wait_costs_no_retry(pool: Pool, redis_url: str) -> None:
    await pool.enqueue_job("odd.fail", "bad wait", _job_id="x")
    await work_off(redis_url)
    assert runs["x"] == 2
    letter = await letter_of(pool, "x")
    assert (letter.error_class, letter.message) == ("SlowDownError", "too many requests")


async def test_where_retries_are_off_the_real_error_is_told(pool: Pool, redis_url: str) -> None:
    await pool.enqueue_job("odd.fail", "bad wait", _job_id="x")
    await work_off(redis_url, retry_jobs=False)
    assert runs["x"] == 1
    letter = await letter_of(pool, "x")
    assert (letter.error_class, letter.message) == ("SlowDownError", "too many requests")


async def test_a_revived_job_runs_though_the_dead_one_was_aborted(
    pool: Pool, redis_url: str
) -> None:
    await pool.enqueue_job("odd.fail", "bad wait", _job_id="x")
    await work_off(redis_url)
    later = await letter_of(pool, "x")
    await pool.zadd(ABORT, {"x": (later.failed_at + timedelta(minutes=1)).timestamp() * 1000})
    assert await DeadLetterStore(pool).retry("x") == 1
    await work_off(redis_url)
    assert runs["x"] == 4


async def test_a_job_that_another_function_calls_is_no_try_of_its_own(
    pool: Pool, redis_url: str
) -> None:
    """A plain function, as in arq code that is taken over step by step, sees the error itself."""
    seen: list[BaseException] = []

    async def outer(ctx: dict[str, Any]) -> str:
        try:
            await odd(ctx, "its own cause")
        except KeyError as error:
            seen.append(error)
        return "done"

    worker = create_worker(
        Odd, functions=[func(outer, name="outer")], redis_pool=await create_pool(redis_url)
    )
    async with running(worker):
        enqueued = await pool.enqueue_job("outer", _queue_name=QUEUE)
        assert enqueued is not None
        assert await enqueued.result(timeout=10, poll_delay=0.02) == "done"
    assert [type(one) for one in seen] == [KeyError]


async def test_a_part_of_a_job_is_that_job(pool: Pool, redis_url: str) -> None:
    part = func(partial(odd, how="no form"), name="part")  # type: ignore[arg-type]  # as arq takes it
    worker = create_worker(Odd, functions=[part], redis_pool=await create_pool(redis_url))
    async with running(worker):
        await pool.enqueue_job("part", _queue_name=QUEUE, _job_id="part")
        await wait_until(lambda: DeadLetterStore(pool).count())
    assert runs["part"] == 2
