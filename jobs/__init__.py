"""Background jobs for outbound calling, in native asyncio.

    redis = await jobs.create_pool()
    await redis.enqueue_job("lead.qualify", lead_id)

    @job("lead.qualify", timeout=30)
    @retry(max_retries=5)
    async def qualify_lead(ctx: JobContext, lead_id: UUID) -> int: ...

    @job("lead.qualify_pending")
    async def qualify_pending(ctx: JobContext) -> None: ...

    class WorkerSettings(DomainSettings):
        queue_name = "lead_tasks"
        functions = [qualify_lead, qualify_pending]
        cron_jobs = [cron(qualify_pending, minute={0, 30})]

- `context`: `JobContext` and `DomainSettings`, for jobs that use the store.
- `engine`: the queue alone, without the domains and without PostgreSQL.
- `errors`: the errors that decide whether a job is retried.
- `settings`: the configuration of a process.
- `testing`: helpers and fixtures for tests of jobs.
- `lead`, `call`, `campaign`, `analytics`, `default`: the domains.
- `rules`: what the domains agree on; pure functions and data.
- `store`: rows, repositories, the unit of work and the outbox.
- `inbox`: the provider's callbacks.
- `voice`: voice providers.
- `embedded`: Redis and PostgreSQL from wheels.
- `clock`, `logs`, `privacy`, `batches`: business time, log configuration, masking, splitting.
- `cli`, `worker`, `demo`, `chaos`: the commands.

The names of this module load on first use, so `import jobs.errors` stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    from arq.connections import RedisSettings

    from jobs.engine import (
        NO_RETRY,
        Clock,
        Cron,
        JobRequest,
        Pool,
        RetryPolicy,
        Worker,
        cron,
        job,
        request,
        retry,
    )
    from jobs.engine.client.options import PoolOptions

__all__ = [
    "NO_RETRY",
    "Cron",
    "JobRequest",
    "Pool",
    "RetryPolicy",
    "Worker",
    "create_pool",
    "cron",
    "job",
    "request",
    "retry",
]


async def create_pool(
    redis: "RedisSettings | str | None" = None,
    *,
    clock: "Clock | None" = None,
    **options: "Unpack[PoolOptions]",
) -> "Pool":
    """Connect a pool that enqueues jobs.

    Args:
        redis: Redis of all queues: a URL, or arq's settings. None: REDIS_URL and TASK_QUEUE_URLS,
            else the embedded server of the working folder, which `ringline up` starts.
        clock: Clock of `_defer_until`. None: the clock of RINGLINE_CLOCK.
        options: All other options of arq's `create_pool`; see `PoolOptions`. By default, jobs are
            JSON, and jobs without a known queue go to TASK_DEFAULT_QUEUE.

    Returns:
        A connected pool. Close it with `aclose()`, or use it in `async with`.

    Raises:
        ServerError: No Redis responds; the message is one line.
        SettingsError: A setting is bad.
    """
    from jobs import engine
    from jobs.clock import clock_from
    from jobs.embedded.resolve import redis_url
    from jobs.settings import get_settings

    settings = get_settings()
    return await engine.create_pool(
        redis or engine.QueueUrls.from_settings(settings, redis_url(settings, start=False)),
        clock=clock or clock_from(settings.ringline_clock),
        **options,
    )


if not TYPE_CHECKING:  # type checkers would accept any name of a module with __getattr__

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module("jobs.engine"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
