"""The job shape under arq's own worker: every ending of a scripted job."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from arq.jobs import Job, JobStatus
from arq.worker import JobExecutionFailed, Retry, Worker, create_worker

from jobs.engine.bootstrap.worker_settings import EngineSettings
from jobs.engine.client.pool import Pool
from jobs.engine.client.pools import create_pool
from jobs.engine.definition.decorator import job
from jobs.engine.definition.retry import RetryPolicy, retry
from jobs.engine.monitoring.counters import QueueStats, read_stats
from jobs.engine.queue.dead_letter import DeadLetter
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.engine.queue.names import QueueNames
from jobs.errors import (
    ExternalServiceError,
    NotFoundError,
    ProcessTimeoutError,
    StaleVersionError,
    ValidationError,
)

QUEUE = "stock_tasks"
FAST = 0.02

runs: list[float] = []
"""When the tries of the running test began."""


class MuteError(Exception):
    def __str__(self) -> str:
        raise AttributeError("message")


ODD = {
    "unwritable": ValueError("no file \udcff"),
    "mute": MuteError(),
    "cancelled": asyncio.CancelledError(),
}


async def play(ctx: dict[str, Any], script: list[str]) -> str:
    """Does what the script says for this try; its last step is for all further ones."""
    runs.append(asyncio.get_running_loop().time())
    step = script[min(len(runs), len(script)) - 1]
    match step.split():
        case ["ok"]:
            return "well"
        case ["sleep"]:
            await asyncio.sleep(60)
        case ["bug"]:
            raise RuntimeError("call +14155550123 back")
        case ["wait", seconds]:
            raise ExternalServiceError("slow down", retry_after=float(seconds))
        case ["missing"]:
            raise NotFoundError("lead", 7)
        case ["stale"]:
            raise StaleVersionError("lead 7")
        case [hard_to_tell] if hard_to_tell in ODD:
            raise ODD[hard_to_tell]
        case ["again"]:
            raise Retry(defer=FAST)
    return step


@job("stock.scripted", timeout=0.2)
@retry(max_retries=2, delay=FAST)
async def scripted(ctx: dict[str, Any], script: list[str]) -> str:
    return await play(ctx, script)


@job("stock.patient", timeout=5)
@retry(max_retries=2, delay=FAST, on={NotFoundError: RetryPolicy(max_retries=1, delay=FAST)})
async def patient(ctx: dict[str, Any], script: list[str]) -> str:
    return await play(ctx, script)


@job("stock.forgetful", dead_letter=False)
@retry(max_retries=0)
async def forgetful(ctx: dict[str, Any], script: list[str]) -> str:
    return await play(ctx, script)


@job("stock.nested")
async def nested(ctx: dict[str, Any], script: list[str]) -> str:
    """Calls another job as the plain coroutine that it is."""
    try:
        return await scripted(ctx, script)
    except RuntimeError as error:
        return f"caught {type(error).__name__}"


class StockSettings(EngineSettings):
    queue_name = QUEUE
    functions = (scripted, patient, forgetful, nested)
    handle_signals = False
    poll_delay = 0.01
    burst = True


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Pool]:
    runs.clear()
    async with await create_pool(redis_url, queues=QueueNames(frozenset({"stock"}))) as pool:
        yield pool


def stock_worker(pool: Pool, **options: Any) -> Worker:
    settings: Any = StockSettings  # arq types a context as a plain dict
    return create_worker(settings, redis_pool=pool, **options)


async def run(pool: Pool, function: str, *args: object, **options: Any) -> Job:
    """Enqueues a job and has arq's worker run it to its end."""
    queued = await pool.enqueue_job(function, *args, **options)
    assert queued is not None
    await stock_worker(pool).async_run()
    return queued


async def only_letter(pool: Pool) -> DeadLetter:
    (letter,) = await DeadLetterStore(pool).find()
    return letter


async def stats(pool: Pool) -> QueueStats:
    return await read_stats(pool, QUEUE)


async def test_returns(pool: Pool) -> None:
    done = await run(pool, "stock.scripted", ["ok"])
    assert await done.result() == "well"
    assert await done.status() is JobStatus.complete
    assert await DeadLetterStore(pool).count() == 0
    seen = await stats(pool)
    assert (seen.done, seen.retried, seen.length, seen.success_rate) == (1, 0, 0, 1.0)


async def test_a_bug_is_retried_with_growing_waits_then_the_real_error_is_raised(
    pool: Pool,
) -> None:
    failed = await run(pool, "stock.scripted", ["bug"])
    with pytest.raises(RuntimeError, match="call"):
        await failed.result()
    waits = [after - before for before, after in pairwise(runs)]
    assert len(waits) == 2
    assert waits[0] >= FAST
    assert waits[1] >= 2 * FAST
    letter = await only_letter(pool)
    assert (letter.job_id, letter.function, letter.queue) == (
        failed.job_id,
        "stock.scripted",
        QUEUE,
    )
    assert (letter.error_class, letter.tries) == ("RuntimeError", 3)
    assert letter.arguments() == ([["bug"]], {})
    assert "in play" in letter.traceback
    seen = await stats(pool)
    assert (seen.dead, seen.retried, seen.success_rate, seen.error_rate) == (1, 2, 0.0, 1.0)


async def test_no_number_is_shown_in_a_letter(pool: Pool) -> None:
    await run(pool, "stock.scripted", ["bug"])
    letter = await only_letter(pool)
    assert "+14155550123" not in letter.message + letter.traceback


async def test_recovers_after_a_failure(pool: Pool) -> None:
    done = await run(pool, "stock.scripted", ["bug", "ok"])
    assert await done.result() == "well"
    assert await DeadLetterStore(pool).count() == 0


async def test_a_timeout_is_retried(pool: Pool) -> None:
    done = await run(pool, "stock.scripted", ["sleep", "ok"])
    assert await done.result() == "well"


async def test_a_timeout_of_the_last_try_is_told_as_such(pool: Pool) -> None:
    failed = await run(pool, "stock.scripted", ["bug", "bug", "sleep"])
    reason = r"stock\.scripted exceeded its time limit of 0\.2 s"
    with pytest.raises(ProcessTimeoutError, match=reason):
        await failed.result()


@pytest.mark.parametrize("arguments", [(), (["ok"], "more"), ("not a list",)])
async def test_bad_arguments_are_dead_at_once(pool: Pool, arguments: tuple[object, ...]) -> None:
    failed = await run(pool, "stock.scripted", *arguments)
    with pytest.raises(ValidationError) as raised:
        await failed.result()
    assert "not a list" not in str(raised.value)
    assert runs == []
    letter = await only_letter(pool)
    assert (letter.error_class, letter.tries) == ("ValidationError", 1)


async def test_a_wait_that_a_service_asks_for_is_honoured(pool: Pool) -> None:
    done = await run(pool, "stock.scripted", ["wait 0.3", "ok"])
    assert await done.result() == "well"
    assert runs[1] - runs[0] >= 0.3


async def test_what_is_missing_is_dead_at_once(pool: Pool) -> None:
    await run(pool, "stock.scripted", ["missing"])
    assert len(runs) == 1
    assert (await only_letter(pool)).error_class == "NotFoundError"


async def test_unless_the_job_waits_for_it(pool: Pool) -> None:
    done = await run(pool, "stock.patient", ["missing", "ok"])
    assert await done.result() == "well"


async def test_a_stale_version_is_read_again_at_once_within_the_try(pool: Pool) -> None:
    await run(pool, "stock.scripted", ["stale", "stale", "ok"])
    seen = await stats(pool)
    assert (len(runs), seen.done, seen.retried) == (3, 1, 0)


async def test_a_retry_that_the_job_raises_itself_is_bounded(pool: Pool) -> None:
    failed = await run(pool, "stock.scripted", ["again"])
    with pytest.raises(JobExecutionFailed, match="after its last try"):
        await failed.result()
    assert len(runs) == 3


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("unwritable", r"no file \udcff"),
        ("mute", "MuteError: "),
        ("cancelled", "stock.scripted waited for a task that something else canceled"),
    ],
)
async def test_what_is_hard_to_tell_is_retried_and_kept_like_any_error(
    pool: Pool, step: str, said: str
) -> None:
    failed = await run(pool, "stock.scripted", [step])
    assert len(runs) == 3
    letter = await only_letter(pool)
    assert letter.message.startswith(said)
    result = await failed.result_info()
    assert result is not None
    assert str(result.result).startswith(said)
    seen = await stats(pool)
    assert (seen.dead, seen.retried) == (1, 2)


async def test_a_job_may_go_without_a_letter(pool: Pool) -> None:
    await run(pool, "stock.forgetful", ["bug"])
    assert await DeadLetterStore(pool).count() == 0
    assert (await stats(pool)).discarded == 1


async def test_a_job_called_from_a_job_is_a_plain_coroutine(pool: Pool) -> None:
    done = await run(pool, "stock.nested", ["bug"])
    assert await done.result() == "caught RuntimeError"
    seen = await stats(pool)
    assert (seen.done, seen.retried, seen.dead) == (1, 0, 0)


async def test_retrying_a_letter_puts_the_job_back_as_it_was(pool: Pool) -> None:
    failed = await run(pool, "stock.scripted", ["bug", "bug", "bug", "ok"])
    letters = DeadLetterStore(pool)
    assert await letters.retry(failed.job_id) == 1
    assert await letters.count() == 0
    assert await letters.retry(failed.job_id) == 0
    assert await failed.status() is JobStatus.queued
    await stock_worker(pool).async_run()
    assert await failed.result() == "well"
    assert len(runs) == 4


async def test_no_key_is_left_but_results_and_counters(pool: Pool) -> None:
    await run(pool, "stock.scripted", ["bug", "ok"])
    left = {key.decode().rpartition(":")[0] for key in await pool.keys()}
    assert left == {"arq:result", "ringline:counters", QUEUE}  # the last is the health key


async def test_an_aborted_job_is_cancelled(pool: Pool) -> None:
    queued = await pool.enqueue_job("stock.patient", ["sleep"])
    assert queued is not None
    worker = stock_worker(pool, allow_abort_jobs=True)
    running = asyncio.create_task(worker.async_run())
    assert await queued.abort(timeout=10, poll_delay=0.01)
    await running
    assert await DeadLetterStore(pool).count() == 0
    assert len(runs) <= 1
