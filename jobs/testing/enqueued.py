"""Enqueued jobs: a pool that records them, and an assertion on them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from arq.jobs import JobDef
from arq.typing import SecondsTimedelta
from redis.asyncio import ConnectionPool

from jobs.clock import Clock
from jobs.engine import JobRequest, Pool, deserialize, serialize
from jobs.engine.client.job import Job
from jobs.store.memory import MemoryStore


class RecordedPool(Pool):
    """Pool that records enqueued jobs and never connects to Redis.

    Args:
        clock: Business clock of `_defer_until`; None for the machine's clock.

    Attributes:
        enqueued: Requests, in the order of enqueuing.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(ConnectionPool.from_url("unix:///nowhere"), clock=clock)
        self.enqueued: list[JobRequest] = []

    async def enqueue_job(  # type: ignore[override]  # no overloads: the type checker sees Pool's
        self,
        function: str | Callable[..., object],
        /,
        *args: object,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: SecondsTimedelta | None = None,
        _expires: SecondsTimedelta | None = None,
        _job_try: int | None = None,
        **kwargs: object,
    ) -> Job | None:
        name = function if isinstance(function, str) else function.__qualname__
        request = JobRequest(
            name,
            args,
            kwargs,
            _job_id,
            _queue_name,
            _defer_by,
            _defer_until,
            _expires,
            _job_try,
        )
        return self._record(request)

    async def enqueue_many(self, requests: Sequence[JobRequest], /) -> list[Job | None]:
        return [self._record(request) for request in requests]

    def _record(self, request: JobRequest) -> Job | None:
        serialize((request.args, request.kwargs))  # rejects what a real pool rejects
        known_ids = {enqueued.job_id for enqueued in self.enqueued} - {None}
        if request.job_id in known_ids:
            return None
        self.enqueued.append(request)
        job_id = request.job_id or f"job-{len(self.enqueued)}"
        return Job(job_id, self, request.queue or self.queue_of(request.function))


async def assert_enqueued(
    where: MemoryStore | Pool, name: str, *args: object, **kwargs: object
) -> JobRequest | JobDef:
    """Assert that a job was enqueued.

    Arguments are compared in their serialized form, so a UUID equals its text.

    Args:
        where: Store of a context, for follow-up jobs, or a pool.
        name: Name of the job.
        args: All positional arguments of the job; without any, they are not compared.
        kwargs: Keyword arguments that the job must have; it may have more.

    Returns:
        The first job that matches.

    Raises:
        AssertionError: No job matches; the message lists all enqueued jobs.
    """
    jobs = await _jobs_in(where)
    expected_args, expected_kwargs = _as_serialized((args, kwargs))
    for job in jobs:
        if job.function != name:
            continue
        job_args, job_kwargs = _as_serialized((job.args, job.kwargs))
        if args and job_args != expected_args:
            continue
        if expected_kwargs.items() <= job_kwargs.items():
            return job
    listing = "".join(f"\n  {_describe(job.function, job.args, job.kwargs)}" for job in jobs)
    raise AssertionError(
        f"{_describe(name, args, kwargs)} was not enqueued; enqueued jobs:{listing or ' none'}"
    )


async def _jobs_in(where: MemoryStore | Pool) -> Sequence[JobRequest | JobDef]:
    if isinstance(where, MemoryStore | RecordedPool):
        return where.enqueued
    return [
        job for queue in where.queues.all() for job in await where.queued_jobs(queue_name=queue)
    ]


def _as_serialized(arguments: Any) -> Any:
    return deserialize(serialize(arguments))


def _describe(name: str, args: Sequence[object], kwargs: dict[str, object]) -> str:
    parts = [*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())]
    return f"{name}({', '.join(parts)})"
