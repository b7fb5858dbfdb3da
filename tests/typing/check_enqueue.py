"""Never run: mypy checks that good calls pass, and, as unused ignores are errors, that bad ones
do not."""

from typing import Any
from uuid import UUID

from arq.jobs import Job

from jobs.engine import EngineSettings, JobRequest, Pool, RetryPolicy, job, request, retry
from jobs.errors import NotFoundError


@job("typing.qualify", timeout=30)
@retry(max_retries=3, delay=5, on={NotFoundError: RetryPolicy(delay=1)})
async def qualify(ctx: dict[str, Any], lead_id: UUID, force: bool = False) -> int:
    return 1


@job("typing.tag")
async def tag(ctx: dict[str, Any], lead_id: UUID, *tags: str) -> None: ...


async def plain(ctx: dict[Any, Any], number: int) -> None:
    """arq's functions need no decorator."""


class WorkerSettings(EngineSettings):
    queue_name = "typing_tasks"
    functions = (qualify, tag, plain)


async def good(pool: Pool, lead_id: UUID) -> None:
    enqueued: Job | None = await pool.enqueue_job(qualify, lead_id)
    await pool.enqueue_job(qualify, lead_id, True)
    await pool.enqueue_job(qualify, lead_id, force=True)
    await pool.enqueue_job(qualify, lead_id=lead_id)
    await pool.enqueue_job(qualify, lead_id, True, _job_id="one", _defer_by=5)
    await pool.enqueue_job(qualify, lead_id, _job_id="one")
    await pool.enqueue_job(tag, lead_id, "a", "b")
    await pool.enqueue_job(tag, lead_id, "a", "b", _job_id="two")
    await pool.enqueue_job(plain, 1)
    await pool.enqueue_job(plain, 1, _expires=60)
    await pool.enqueue_job("typing.qualify", lead_id, force=True, _queue_name="default")
    many: list[JobRequest] = [request(qualify, lead_id), request(qualify, lead_id, force=True)]
    await pool.enqueue_many(many)
    result: int = await qualify({}, lead_id, force=True)
    print(enqueued, result)  # noqa: T201  # what is assigned is used


async def bad(pool: Pool, lead_id: UUID) -> None:
    await pool.enqueue_job(qualify)  # type: ignore[call-arg, arg-type]
    await pool.enqueue_job(qualify, "text")  # type: ignore[arg-type]
    await pool.enqueue_job(qualify, lead_id, "yes")  # type: ignore[call-arg, arg-type]
    await pool.enqueue_job(qualify, lead_id, colour=1)  # type: ignore[call-arg]
    await pool.enqueue_job(qualify, lead_id, True, 3)  # type: ignore[call-arg, arg-type]
    await pool.enqueue_job(plain, "one", _job_id="one")  # type: ignore[call-arg, arg-type]
    await pool.enqueue_job(plain, 1, _job_id=1)  # type: ignore[call-arg]
    await pool.enqueue_job(tag, lead_id, 1)  # type: ignore[call-arg, arg-type]
    await pool.enqueue_job("typing.qualify", lead_id, _defer_until="soon")  # type: ignore[call-overload]
    request(qualify, "text")  # type: ignore[arg-type]
    await pool.enqueue_many([qualify])  # type: ignore[list-item]
    await qualify({}, "text")  # type: ignore[arg-type]


@job("typing.wrong")  # type: ignore[type-var]
def not_async(ctx: dict[str, Any]) -> int:
    return 1
