"""Bad input under a worker as `ringline worker` makes it.

Each bad job ends in one line and a dead letter, and the other jobs of its batch run.
"""

import asyncio
import logging
import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.jobs import SerializationError
from arq.worker import func

from jobs.engine import (
    DeadLetterStore,
    EngineSettings,
    Pool,
    create_pool,
    deserialize_or_unpickle,
    job,
    read_stats,
    retry,
)
from jobs.engine.bootstrap.workers import create_worker, serve
from jobs.engine.queue.keys import JOB, LOST, UNKNOWN
from tests.integration.workers import connect, running

QUEUE = "bad_tasks"


@job("bad.double", queue=QUEUE)
@retry()
async def double(ctx: dict[str, Any], number: int) -> int:
    return 2 * number


@job("bad.awkward", queue=QUEUE)
@retry()
async def awkward(ctx: dict[str, Any]) -> object:
    return logging.getLogger()


class Bad(EngineSettings):
    queue_name = QUEUE
    functions = (double, awkward)


@pytest.fixture
async def arq_pool(redis_url: str) -> AsyncIterator[ArqRedis]:
    pool = await connect(redis_url)
    yield pool
    await pool.aclose(close_connection_pool=True)


async def work_off(redis_url: str, **options: Any) -> None:
    """Run the jobs of the queue; the worker must survive all of them."""
    await serve(create_worker(Bad, redis_pool=await create_pool(redis_url), burst=True, **options))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\xff\x00{", "not JSON: str is not valid UTF-8"),
        (b"[1, 2]", "unable to deserialize job"),
        (b'{"f": "bad.double"}', "unable to deserialize job"),
        (b'{"t": 1, "f": 5, "a": [], "k": {}, "et": 1}', "not a job's payload"),
        (pickle.dumps({"f": "bad.double"}), "refused a pickle, which can run any code"),
    ],
    ids=["garbled", "a list", "fields missing", "wrong fields", "pickle"],
)
async def test_unreadable_payload_becomes_a_dead_letter(
    pool: Pool, redis_url: str, payload: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.set(JOB + "bad", payload)
    await pool.zadd(QUEUE, {"bad": 1})
    good = await pool.enqueue_job("bad.double", 21)
    await work_off(redis_url)
    assert message in await dead_letter_message(pool, "bad", "DeserializationError")
    (line,) = lines(caplog, "bad")
    assert line.startswith("deserializing job bad failed: ")
    assert message in line or message == "unable to deserialize job"
    assert good is not None
    assert await good.result(timeout=1) == 42
    assert (await read_stats(pool, QUEUE)).length == 0


async def test_pickle_runs_if_pickles_are_enabled(
    pool: Pool, arq_pool: ArqRedis, redis_url: str
) -> None:
    job = await arq_pool.enqueue_job("bad.double", 21, _queue_name=QUEUE)
    await work_off(redis_url, job_deserializer=deserialize_or_unpickle)
    assert job is not None
    assert await job.result(timeout=1) == 42  # written as the producer reads it


async def test_unknown_function_becomes_a_dead_letter(
    pool: Pool, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.enqueue_job("bad.missing", _job_id="bad", _queue_name=QUEUE)
    await pool.hset(LOST, UNKNOWN + "bad", "30")  # type: ignore[misc]  # typed for both clients
    await work_off(redis_url)
    assert (
        await dead_letter_message(pool, "bad", "JobExecutionFailed")
        == "function 'bad.missing' not found"
    )
    assert lines(caplog, "bad") == ["job bad, function 'bad.missing' not found"]


class Odd(BaseException):
    """Error outside of `Exception`, as some libraries raise it."""


@pytest.mark.parametrize("suspends", [False, True], ids=["first step", "after a suspension"])
async def test_error_outside_of_exception_becomes_a_dead_letter(
    pool: Pool, redis_url: str, *, suspends: bool
) -> None:
    async def fail(ctx: dict[str, Any]) -> None:
        if suspends:
            await asyncio.sleep(0)
        raise Odd("out of order")

    await pool.enqueue_job("fail", _job_id="bad", _queue_name=QUEUE)
    good = await pool.enqueue_job("bad.double", 21)
    await work_off(redis_url, functions=[func(fail, name="fail"), *Bad.functions])
    assert await dead_letter_message(pool, "bad", "Odd") == "out of order"
    assert good is not None
    assert await good.result(timeout=1) == 42


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("many",), "number: Input should be a valid integer"), ((1, 2), "argument 2: Unexpected")],
)
async def test_wrong_arguments_become_a_dead_letter(
    pool: Pool, redis_url: str, arguments: tuple[object, ...], message: str
) -> None:
    await pool.enqueue_job("bad.double", *arguments, _job_id="bad")
    await work_off(redis_url)
    assert (await dead_letter_message(pool, "bad", "ValidationError")).startswith(message)


async def test_result_without_serialized_form_becomes_a_dead_letter(
    pool: Pool, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = await pool.enqueue_job("bad.awkward", _job_id="bad")
    good = await pool.enqueue_job("bad.double", 21)
    await work_off(redis_url)
    message = (
        "its result cannot be serialized: TypeError: Type is not JSON serializable: RootLogger"
    )
    assert await dead_letter_message(pool, "bad", "SerializationError") == message
    assert bad is not None
    with pytest.raises(SerializationError, match="its result cannot be serialized"):
        await bad.result(timeout=1)
    assert not lines(caplog, "error serializing")
    assert good is not None
    assert await good.result(timeout=1) == 42


async def dead_letter_message(pool: Pool, job_id: str, error_class: str) -> str:
    """Return the message of the dead letter of this job."""
    dead_letter = await DeadLetterStore(pool).get(job_id)
    assert dead_letter is not None
    assert dead_letter.error_class == error_class
    return dead_letter.message


async def test_job_id_that_is_not_text_harms_no_other_job(
    pool: Pool, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.zadd(QUEUE, {b"\xff\xfe": 1})
    good = await pool.enqueue_job("bad.double", 21)
    worker = create_worker(Bad, redis_pool=await create_pool(redis_url))
    async with running(worker):
        assert good is not None
        assert await good.result(timeout=5, poll_delay=0.02) == 42
    assert r"job_id=b'\xff\xfe'" in caplog.text


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    """Return the log messages that contain `part`, each of which must be a single line."""
    records = [record for record in caplog.records if part in record.getMessage()]
    assert all(record.exc_info is None for record in records)
    assert not any("\n" in record.getMessage() for record in records)
    return [record.getMessage() for record in records]
