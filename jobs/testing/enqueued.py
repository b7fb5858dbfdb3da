"""Which jobs were enqueued."""

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
    """A pool that keeps what is enqueued, in `enqueued`, and never connects to Redis."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(ConnectionPool.from_url("unix:///nowhere"), clock=clock)
        self.enqueued: list[JobRequest] = []

    async def enqueue_job(  # type: ignore[override]  # no overloads: the type checker sees Pool's
        self,
        function: str | Callable[..., object],
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
        wanted = JobRequest(
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
        return self._keep(wanted)

    async def enqueue_many(self, requests: Sequence[JobRequest], /) -> list[Job | None]:
        return [self._keep(wanted) for wanted in requests]

    def _keep(self, wanted: JobRequest) -> Job | None:
        serialize((wanted.args, wanted.kwargs))
        known = {one.job_id for one in self.enqueued} - {None}
        if wanted.job_id in known:
            return None
        self.enqueued.append(wanted)
        job_id = wanted.job_id or f"job-{len(self.enqueued)}"
        return Job(job_id, self, wanted.queue or self.queue_of(wanted.function))


async def assert_enqueued(
    where: MemoryStore | Pool, name: str, *args: object, **kwargs: object
) -> JobRequest | JobDef:
    """The first job of this name with these arguments; AssertionError, listing the jobs, if none.

    where: a context's store (its follow-ups) or pool. Arguments are compared as they are in the
    queue, so a UUID equals its text. Without any, every job of the name will do; named ones need
    not be all that the job has.
    """
    jobs = await _jobs_in(where)
    wanted_args, wanted_kwargs = _as_queued((args, kwargs))
    for job in jobs:
        if job.function != name:
            continue
        found_args, found_kwargs = _as_queued((job.args, job.kwargs))
        if args and found_args != wanted_args:
            continue
        if wanted_kwargs.items() <= found_kwargs.items():
            return job
    listed = "".join(f"\n  {_told(job.function, job.args, job.kwargs)}" for job in jobs)
    raise AssertionError(
        f"{_told(name, args, kwargs)} was not enqueued; there are{listed or ' no jobs'}"
    )


async def _jobs_in(where: MemoryStore | Pool) -> Sequence[JobRequest | JobDef]:
    if isinstance(where, MemoryStore | RecordedPool):
        return where.enqueued
    return [
        job for queue in where.queues.all() for job in await where.queued_jobs(queue_name=queue)
    ]


def _as_queued(arguments: Any) -> Any:
    return deserialize(serialize(arguments))


def _told(name: str, args: Sequence[object], kwargs: dict[str, object]) -> str:
    parts = [*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())]
    return f"{name}({', '.join(parts)})"
