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
"""Executions of the current test, by job id."""


@pytest.fixture(autouse=True)
def reset_runs() -> None:
    runs.clear()


class NoTextError(Exception):
    """Error whose `str()` raises, as in a class that does not call the `__init__` of its base."""

    def __str__(self) -> str:
        return str(self.message)  # type: ignore[attr-defined]  # missing on purpose


class CauselessError(Exception):
    """Error whose cause cannot be read."""

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise RuntimeError("out of order")


class SlowDownError(Exception):
    def __init__(self, retry_after: object) -> None:
        super().__init__("too many requests")
        self.retry_after = retry_after


def fail(failure: str) -> None:
    match failure:
        case "surrogate":
            raise ValueError("no file \udcff")
        case "no text":
            raise NoTextError
        case "quotes an error without text":
            raise KeyError(NoTextError())
        case "its own cause":
            error = KeyError("x")
            raise error from error
        case "very long":
            raise ValueError("x" * 5_000_000)
        case "cause raises":
            raise CauselessError
        case "canceled":
            raise asyncio.CancelledError
        case "infinite retry_after":
            raise SlowDownError(float("inf"))


FAILURES = [
    "surrogate",
    "no text",
    "quotes an error without text",
    "its own cause",
    "very long",
    "cause raises",
]


@job("odd.fail", queue=QUEUE)
@retry(max_retries=1, delay=0.01)
async def odd(ctx: dict[str, Any], failure: str) -> None:
    runs[ctx["job_id"]] += 1
    fail(failure)


async def plain(ctx: dict[str, Any], failure: str) -> None:
    """Fail without the retries of `@job`, as a plain arq function."""
    runs[ctx["job_id"]] += 1
    fail(failure)


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


async def dead_letter_of(pool: Pool, job_id: str) -> DeadLetter:
    dead_letter = await DeadLetterStore(pool).get(job_id)
    assert dead_letter is not None
    return dead_letter


@pytest.mark.parametrize("name", ["odd.fail", "plain"])
async def test_error_without_usable_text_ends_its_job_once(
    pool: Pool, redis_url: str, name: str
) -> None:
    for failure in FAILURES:
        await pool.enqueue_job(name, failure, _queue_name=QUEUE, _job_id=failure)
    await work_off(redis_url)
    assert runs == dict.fromkeys(FAILURES, 2 if name == "odd.fail" else 1)
    dead_letters = await DeadLetterStore(pool).find()
    assert {dead_letter.job_id for dead_letter in dead_letters} == set(FAILURES)
    for failure in FAILURES:
        result = await Job(failure, pool, QUEUE, deserialize).result_info()
        assert result is not None
        assert isinstance(result.result, Exception)
    assert (await dead_letter_of(pool, "surrogate")).message == r"no file \udcff"
    without_text = await dead_letter_of(pool, "no text")
    assert "NoTextError" in (without_text.error_class, *without_text.message.split(":"))
    assert await pool.zcard(QUEUE) == 0


async def test_payload_that_cannot_be_shown_ends_its_job_once(pool: Pool, redis_url: str) -> None:
    arguments = {
        "tagged": '{"$error": {"type": "timedelta", "message": 5}}',
        "deep": "[" * 1000 + "]" * 1000,
    }
    for name, argument in arguments.items():
        payload = f'{{"t": null, "f": "plain", "a": [{argument}, 1], "k": {{}}, "et": 1}}'
        await pool.set(JOB + name, payload)
        await pool.zadd(QUEUE, {name: 1})
    await work_off(redis_url)
    dead_letters = await DeadLetterStore(pool).find()
    assert {dead_letter.job_id for dead_letter in dead_letters} == set(arguments)
    assert await pool.zcard(QUEUE) == 0


async def test_job_canceled_from_within_is_retried_by_its_policy(
    pool: Pool, redis_url: str
) -> None:
    queued = await pool.enqueue_job("odd.fail", "canceled", _job_id="x")
    await work_off(redis_url)
    assert runs["x"] == 2
    dead_letter = await dead_letter_of(pool, "x")
    assert (dead_letter.error_class, dead_letter.tries) == ("JobError", 2)
    assert "CancelledError" in dead_letter.traceback
    assert queued is not None
    with pytest.raises(JobError):
        await queued.result(timeout=1)


async def test_job_that_waits_for_an_aborted_job_is_retried_by_its_policy(
    pool: Pool, redis_url: str
) -> None:
    async with running(create_worker(Odd, redis_pool=await create_pool(redis_url))):
        aborted = await pool.enqueue_job("odd.hang", _job_id="aborted")
        await pool.enqueue_job("odd.wait", "aborted", _job_id="waits")
        await wait_until(lambda: runs["aborted"] and runs["waits"])
        assert aborted is not None
        assert await aborted.abort(timeout=10)
        await wait_until(lambda: DeadLetterStore(pool).get("waits"))
    assert runs == {"aborted": 1, "waits": 2}
    assert await DeadLetterStore(pool).get("aborted") is None


async def test_shutdown_uses_no_try(pool: Pool, redis_url: str) -> None:
    worker = create_worker(Odd, redis_pool=await create_pool(redis_url))
    async with running(worker):
        await pool.enqueue_job("odd.hang", _job_id="x")
        await wait_until(lambda: runs["x"])
        worker.handle_sig(signal.SIGUSR1)
    assert await pool.zscore(QUEUE, "x") is not None
    assert await pool.get(RETRY + "x") is None


async def test_unusable_retry_after_uses_no_extra_retry(pool: Pool, redis_url: str) -> None:
    await pool.enqueue_job("odd.fail", "infinite retry_after", _job_id="x")
    await work_off(redis_url)
    assert runs["x"] == 2
    dead_letter = await dead_letter_of(pool, "x")
    assert (dead_letter.error_class, dead_letter.message) == ("SlowDownError", "too many requests")


async def test_dead_letter_has_the_original_error_without_retries(
    pool: Pool, redis_url: str
) -> None:
    await pool.enqueue_job("odd.fail", "infinite retry_after", _job_id="x")
    await work_off(redis_url, retry_jobs=False)
    assert runs["x"] == 1
    dead_letter = await dead_letter_of(pool, "x")
    assert (dead_letter.error_class, dead_letter.message) == ("SlowDownError", "too many requests")


async def test_retried_dead_letter_runs_though_the_failed_job_was_aborted(
    pool: Pool, redis_url: str
) -> None:
    await pool.enqueue_job("odd.fail", "infinite retry_after", _job_id="x")
    await work_off(redis_url)
    dead_letter = await dead_letter_of(pool, "x")
    await pool.zadd(ABORT, {"x": (dead_letter.failed_at + timedelta(minutes=1)).timestamp() * 1000})
    assert await DeadLetterStore(pool).retry("x") == 1
    await work_off(redis_url)
    assert runs["x"] == 4


async def test_job_called_by_another_function_is_part_of_that_function(
    pool: Pool, redis_url: str
) -> None:
    """A plain function sees the original error. arq code that is migrated in steps relies on it."""
    errors: list[BaseException] = []

    async def outer(ctx: dict[str, Any]) -> str:
        try:
            await odd(ctx, "its own cause")
        except KeyError as error:
            errors.append(error)
        return "done"

    worker = create_worker(
        Odd, functions=[func(outer, name="outer")], redis_pool=await create_pool(redis_url)
    )
    async with running(worker):
        enqueued = await pool.enqueue_job("outer", _queue_name=QUEUE)
        assert enqueued is not None
        assert await enqueued.result(timeout=10, poll_delay=0.02) == "done"
    assert [type(error) for error in errors] == [KeyError]


async def test_partial_of_a_job_keeps_the_policy_of_the_job(pool: Pool, redis_url: str) -> None:
    part = func(partial(odd, failure="surrogate"), name="part")  # type: ignore[arg-type]  # accepted by arq
    worker = create_worker(Odd, functions=[part], redis_pool=await create_pool(redis_url))
    async with running(worker):
        await pool.enqueue_job("part", _queue_name=QUEUE, _job_id="part")
        await wait_until(lambda: DeadLetterStore(pool).count())
    assert runs["part"] == 2
