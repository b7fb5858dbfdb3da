"""Ledger of jobs, read from Redis's append-only file."""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import arq.worker
import pytest

from jobs.engine import DeadLetterStore, EngineSettings, JobRequest, Pool, create_pool, retry
from jobs.engine import job as define
from jobs.engine.bootstrap.workers import create_worker, options_of
from jobs.engine.monitoring.aof_ledger import Ledger, account, read_ledger
from jobs.errors import ValidationError
from tests.integration.workers import OwnRedis, own_redis

QUEUE = "journal_tasks"
ARQ_OPTIONS = frozenset(inspect.signature(arq.worker.Worker).parameters)
"""Options of arq's worker."""


@define("journal.ok", queue=QUEUE)
@retry()
async def succeed(ctx: dict[str, Any]) -> str:
    return "done"


@define("journal.forget", queue=QUEUE, keep_result=0)
@retry()
async def succeed_without_result(ctx: dict[str, Any]) -> str:
    return "done"


@define("journal.die", queue=QUEUE)
@retry()
async def fail(ctx: dict[str, Any]) -> None:
    raise ValidationError("bad data")


@define("journal.drop", queue=QUEUE, dead_letter=False)
@retry()
async def fail_unnoticed(ctx: dict[str, Any]) -> None:
    raise ValidationError("bad data")


class Settings(EngineSettings):
    queue_name = QUEUE
    functions = (succeed, succeed_without_result, fail, fail_unnoticed)


@pytest.fixture
async def server() -> AsyncIterator[OwnRedis]:
    async with own_redis() as server:
        yield server


@pytest.fixture
async def pool(server: OwnRedis) -> AsyncIterator[Pool]:
    pool = await create_pool(server.url)
    await pool.config_set("appendfsync", "always")
    yield pool
    await pool.aclose()


def ledger_of(server: OwnRedis) -> Ledger:
    return read_ledger(server.folder / "appendonlydir")


async def enqueue(pool: Pool, **counts: int) -> None:
    requests = [JobRequest(f"journal.{name}", queue=QUEUE) for name in counts]
    await pool.enqueue_many(
        [job for job, count in zip(requests, counts.values(), strict=True) for _ in range(count)]
    )


@pytest.mark.parametrize("arq_worker", [False, True], ids=["ringline", "arq"])
async def test_ledger_counts_each_job_and_its_end_once(
    server: OwnRedis, pool: Pool, *, arq_worker: bool
) -> None:
    await enqueue(pool, ok=5, forget=4, die=3, drop=2)
    await drain(pool, arq_worker=arq_worker)
    ledger = ledger_of(server)
    assert (ledger.enqueued, ledger.done, ledger.dead, ledger.discarded) == (14, 9, 3, 2)
    assert not ledger.left
    assert not ledger.lost
    assert not ledger.twice


async def drain(pool: Pool, *, arq_worker: bool) -> None:
    options: dict[str, Any] = {"redis_pool": pool, "burst": True, "handle_signals": False}
    if arq_worker:
        supported = {
            name: value for name, value in options_of(Settings).items() if name in ARQ_OPTIONS
        }
        await arq.worker.Worker(**supported | options | {"poll_delay": 0.01}).main()
    else:
        await create_worker(Settings, **options).main()


async def test_retried_dead_letter_counts_as_enqueued_again(server: OwnRedis, pool: Pool) -> None:
    await enqueue(pool, die=1)
    await drain(pool, arq_worker=True)
    (letter,) = await DeadLetterStore(pool).find()
    assert await DeadLetterStore(pool).retry(letter.job_id)
    ledger = ledger_of(server)
    assert (ledger.enqueued, ledger.dead, ledger.left) == (2, 1, {letter.job_id})


async def test_job_deleted_before_its_end_is_lost(server: OwnRedis, pool: Pool) -> None:
    job = await pool.enqueue_job("journal.ok", _queue_name=QUEUE)
    assert job is not None
    await pool.delete(f"arq:job:{job.job_id}")
    ledger = ledger_of(server)
    assert ledger.lost == [job.job_id]
    assert ledger.enqueued == ledger.ended + 1


def test_second_result_of_a_job_is_a_second_end() -> None:
    result = b'{"s": true}'
    finish = [[b"DEL", b"arq:job:a"], [b"SET", b"arq:result:a", result]]
    again = [[b"SET", b"arq:result:a", result]]
    ledger = account([[[b"SET", b"arq:job:a", b"{}"]], finish, again])
    assert (ledger.done, ledger.twice) == (1, ["a"])


def test_requeued_jobs_of_lost_workers_are_recovered() -> None:
    requeued = [[b"ZADD", b"q", b"1", b"a"], [b"HINCRBY", b"ringline:lost", b"a", b"1"]]
    unknown = [[b"HINCRBY", b"ringline:lost", b"unknown:a", b"1"]]
    assert account([requeued, unknown]).recovered == 1
