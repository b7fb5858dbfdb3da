"""Pickles, which can run any code, are refused wherever jobs are read, and are never loaded."""

import os
import pickle
import time
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import arq
import pytest
from arq.jobs import DeserializationError, Job
from arq.worker import create_worker as create_arq_worker

from jobs.cli.commands.worker import worker_options
from jobs.cli.errors import as_click_error
from jobs.engine import EngineSettings, count_pickles, job
from jobs.engine.bootstrap.workers import create_worker, serve
from jobs.engine.client.pool import Pool
from jobs.engine.connection.urls import Address
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.engine.queue.keys import JOB, RESULT
from jobs.engine.queue.serializer import deserialize, deserialize_or_unpickle, serialize
from jobs.settings import load_settings
from tests.integration.workers import connect

QUEUE = "pickle_tasks"


@job("pickle.work", queue=QUEUE)
async def work(ctx: dict[str, Any], number: int) -> int:
    return number


class Careful(EngineSettings):
    queue_name = QUEUE
    functions = (work,)


class Migrating(Careful):
    job_deserializer = staticmethod(deserialize_or_unpickle)


class WrittenForArq:
    queue_name = QUEUE
    functions: ClassVar = [work]


class Trap:
    """Object that creates a folder when its pickle is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """Yield the folder that a loaded pickle creates; it must not exist at the end."""
    path = tmp_path / "loaded"
    yield path
    assert not path.exists()


def trapped(mark: Path) -> bytes:
    now_ms = round(time.time() * 1000)
    return pickle.dumps({"t": None, "f": "pickle.work", "a": (Trap(mark),), "k": {}, "et": now_ms})


async def put(pool: Pool, payload: bytes) -> Job:
    await pool.set(JOB + "pickled", payload)
    await pool.zadd(QUEUE, {"pickled": 1})
    return job_of(pool, "pickled")


def job_of(pool: Pool, job_id: str) -> Job:
    return Job(job_id, pool, QUEUE, pool.job_deserializer)


async def run(redis_url: str, settings: type, **options: Any) -> None:
    redis = Address.of(redis_url).arq_settings()
    await serve(create_worker(settings, redis_settings=redis, burst=True, **options))


async def assert_refused(job: Job) -> None:
    with pytest.raises(DeserializationError) as caught:
        await job.result(timeout=1)
    assert "\n" not in str(caught.value)


def assert_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = [record for record in caplog.records if "deserializing" in record.getMessage()]
    assert "refused a pickle, which can run any code" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("settings", [Careful, WrittenForArq])
async def test_worker_refuses_a_pickle_in_one_line_and_keeps_it(
    settings: type,
    redis_url: str,
    pool: Pool,
    mark: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = await put(pool, trapped(mark))
    await run(redis_url, settings, **worker_options([settings], load_settings()))
    await assert_refused(job)
    assert_logged_in_one_line(caplog)

    (dead_letter,) = await DeadLetterStore(pool).find()
    assert dead_letter.message.startswith("refused a pickle")
    assert "in an unknown format" in dead_letter.shown_arguments()
    assert await DeadLetterStore(pool).retry("pickled") == 1
    await run(redis_url, settings, **worker_options([settings], load_settings()))
    assert await DeadLetterStore(pool).count() == 1


async def test_arqs_worker_refuses_a_pickle_under_engine_settings(
    pool: Pool, mark: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = await put(pool, trapped(mark))
    settings: Any = Careful
    arq_worker = create_arq_worker(settings, redis_pool=pool, burst=True, handle_signals=False)
    await arq_worker.async_run()
    await assert_refused(job)
    assert_logged_in_one_line(caplog)


@pytest.mark.parametrize("domain", ["lead", "call", "campaign", "analytics", "default"])
def test_domain_settings_use_json(domain: str) -> None:
    settings = import_module(f"jobs.{domain}").WorkerSettings
    assert settings.job_deserializer is deserialize
    assert settings.job_serializer is serialize
    # arq reads no inherited attributes
    assert {"job_serializer", "job_deserializer"} <= vars(settings).keys()


async def test_pool_refuses_pickled_jobs_and_results(pool: Pool, mark: Path) -> None:
    job = await put(pool, trapped(mark))
    await pool.set(RESULT + "done", trapped(mark))
    queued = partial(pool.queued_jobs, queue_name=QUEUE)
    for read in (job.info, queued, job_of(pool, "done").result_info, pool.all_job_results):
        with pytest.raises(DeserializationError) as caught:
            await read()
        assert "refused a pickle" in as_click_error(caught.value).format_message()


async def test_results_have_the_format_of_their_job_if_pickles_are_enabled(
    redis_url: str, pool: Pool
) -> None:
    """An arq pool reads only pickles, and our pool reads only JSON."""
    arq_pool: arq.ArqRedis = await connect(redis_url)
    async with arq_pool:
        pickled = await arq_pool.enqueue_job("pickle.work", 7, _queue_name=QUEUE)
        plain = await pool.enqueue_job("pickle.work", 8, _queue_name=QUEUE)
        assert pickled is not None
        assert plain is not None
        await run(redis_url, Migrating)
        assert await pickled.result(timeout=1) == 7
        assert await plain.result(timeout=1) == 8


async def test_pickles_are_counted_without_being_loaded(pool: Pool, mark: Path) -> None:
    await put(pool, trapped(mark))
    await pool.enqueue_job("pickle.work", 1, _queue_name=QUEUE)
    await pool.set(RESULT + "done", trapped(mark))
    assert await count_pickles(pool) == (1, 1, 0)


async def test_pickled_dead_letters_are_counted(redis_url: str, pool: Pool, mark: Path) -> None:
    await put(pool, trapped(mark))
    await run(redis_url, Careful)
    assert await count_pickles(pool) == (0, 0, 1)
