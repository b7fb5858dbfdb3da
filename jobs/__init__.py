"""Background jobs for outbound calling, in native asyncio.

    redis = await jobs.create_pool()
    await redis.enqueue_job("lead.qualify", lead_id)

    @job("lead.qualify", timeout=30)
    @retry(max_retries=5)
    async def qualify_lead(ctx: JobContext, lead_id: UUID) -> int: ...

    class WorkerSettings(DomainSettings):
        queue_name = "lead_tasks"
        functions = [qualify_lead]

`jobs.context` has JobContext and DomainSettings, `jobs.engine` is the queue alone, `jobs.errors`
what can go wrong, `jobs.testing` what to test with. Names are loaded when they are first used, so
that `import jobs.errors` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arq.connections import RedisSettings

    from jobs.engine import NO_RETRY, Clock, JobRequest, Pool, RetryPolicy, job, request, retry

__all__ = [
    "NO_RETRY",
    "JobRequest",
    "Pool",
    "RetryPolicy",
    "create_pool",
    "job",
    "request",
    "retry",
]


async def create_pool(
    redis: "RedisSettings | str | None" = None, *, clock: "Clock | None" = None
) -> "Pool":
    """A pool to enqueue with; close it with `aclose()`, or use it in `async with`.

    redis: the one for all queues; by default REDIS_URL and TASK_QUEUE_URLS, else the embedded
    server of this folder, which `ringline up` holds open. clock: what `_defer_until` is read by; by
    default the one of JOBS_CLOCK. Raises ServerError, one line, when there is no Redis.
    """
    from jobs import engine
    from jobs.clock import clock_from
    from jobs.embedded.resolve import redis_url
    from jobs.settings import get_settings

    settings = get_settings()
    return await engine.create_pool(
        redis or engine.QueueUrls.from_settings(settings, redis_url(settings, start=False)),
        clock=clock or clock_from(settings.jobs_clock),
    )


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module("jobs.engine"), name)
    globals()[name] = value
    return value
