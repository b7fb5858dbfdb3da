"""Never run: a user's project, in which each public function is used as documented.

mypy and pyright check the file against the installed wheel. Each `type: ignore` marks a mistake,
and an ignore without one is an error.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from arq.connections import RedisSettings

import jobs
from jobs import (
    NO_RETRY,
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
from jobs import create_pool as connect
from jobs.context import DomainSettings, JobContext
from jobs.engine import (
    DeadLetterFilter,
    DeadLetterStore,
    EngineSettings,
    Outcome,
    OutcomeKind,
    PickleCounts,
    QueueStats,
    count_pickles,
    deserialize_or_unpickle,
    find_job,
    read_stats,
)
from jobs.errors import ConflictError, ExternalServiceError, NotFoundError
from jobs.settings import Settings, SettingsError, get_settings, load_settings
from jobs.testing import (
    FrozenClock,
    MemoryStore,
    RecordedPool,
    WorkerRunner,
    assert_enqueued,
    make_context,
    run_job,
    wait_until,
)

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(max_retries=2, delay=0.5, max_delay=60, jitter=True)


@job("shop.bill", timeout=timedelta(minutes=1), queue="shop_tasks", keep_result=3600)
@retry(max_retries=5, delay=2, on={NotFoundError: POLICY, ConflictError: NO_RETRY})
async def bill(ctx: JobContext, order_id: UUID, *, urgent: bool = False) -> int:
    async with ctx["store"].begin() as work:
        totals = await work.analytics.totals(order_id)
        work.enqueue("shop.ship", order_id)
    if urgent:
        raise ExternalServiceError("the bank is busy", retry_after=5)
    await ctx["redis"].enqueue_job(ship, order_id, ctx["clock"].now())
    return totals.seconds


@job("shop.ship", aliases=["shop.send"], dead_letter=False)
async def ship(ctx: JobContext, order_id: UUID, at: datetime | None = None) -> None: ...


@job("shop.close_day")
@retry()
async def close_day(ctx: JobContext) -> None: ...


@job("shop.sweep")
async def sweep(ctx: dict[str, Any], days: int = 30) -> None:
    """A job of the engine alone: arq's context, without the store."""


async def clean(ctx: dict[Any, Any]) -> None:
    """A coroutine function without a decorator, as in arq."""


class ShopSettings(DomainSettings):
    queue_name = "shop_tasks"
    functions = [bill, ship, close_day]
    cron_jobs = [
        cron(close_day, expression="0 3 * * *", timezone="Europe/Berlin", missed="once"),
        cron("shop.close_day", name="noon", hour=12, minute={0, 30}, alone=True),
    ]


class PlainSettings(EngineSettings):
    queue_name = "plain_tasks"
    functions = [sweep, clean]
    cron_jobs = [cron(sweep, weekday="sun", hour=4), cron(clean, hour=5, unique=False)]
    redis_url = "redis://localhost:6379/0"


async def produce(order_id: UUID) -> None:
    async with await connect() as redis:
        enqueued = await redis.enqueue_job(bill, order_id, urgent=True)
        if enqueued is not None:
            total: int = await enqueued.result(timeout=5)
            print(enqueued.job_id, total)  # noqa: T201  # what is assigned is used
        await redis.enqueue_job(bill, order_id, _job_id="one", _defer_by=timedelta(hours=1))
        await redis.enqueue_job("shop.ship", order_id, _defer_until=NEW_YEAR)
        await redis.enqueue_job(close_day)
        wanted: list[JobRequest] = [request(bill, order_id), request(ship, order_id, None)]
        await redis.enqueue_many([*wanted, JobRequest("shop.sweep", (30,), job_id="sweep")])
        stats: QueueStats = await read_stats(redis, "shop_tasks")
        letters = DeadLetterStore(redis)
        retried: int = await letters.retry(DeadLetterFilter(function="shop.bill"))
        print(stats.length, retried, find_job("shop.bill"))  # noqa: T201  # the same


async def migrate(settings: RedisSettings) -> None:
    redis = await connect(
        settings, default_queue_name="arq:queue", job_deserializer=deserialize_or_unpickle
    )
    left: PickleCounts = await count_pickles(redis)
    print(left.jobs)  # noqa: T201  # the same
    await redis.aclose()


async def consume(pool: Pool) -> None:
    schedule: Cron = cron(sweep, second=None, real_time=True)
    worker = Worker(
        [bill, ship, sweep, clean], redis_pool=pool, cron_jobs=[schedule], burst=True, lease=30
    )
    await worker.async_run()


def configure() -> int:
    try:
        settings: Settings = load_settings(task_max_retries=1)
    except SettingsError:
        settings = get_settings()
    return settings.task_max_retries


async def check_bill(order_id: UUID) -> None:
    clock = FrozenClock(NEW_YEAR)
    store = MemoryStore(clock=clock)
    context: JobContext = make_context(clock=clock, store=store)
    result: object = await run_job(bill, context, order_id)
    await assert_enqueued(store, "shop.ship", order_id)
    direct: int = await bill(context, order_id, urgent=False)
    print(result, direct)  # noqa: T201  # the same


async def check_fixtures(
    pool: Pool,
    worker: WorkerRunner,
    ringline_settings: Settings,
    job_context: JobContext,
    redis_url: str,
    database_url: str,
) -> None:
    async with await connect(redis_url) as redis:
        await redis.enqueue_job(close_day)
    outcomes: list[Outcome] = await worker(ShopSettings, PlainSettings, until=60, max_jobs=1)
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.DONE]
    async with worker.running(ShopSettings) as seen:
        await wait_until(lambda: seen, timeout=5)
    recorded = RecordedPool()
    await recorded.enqueue_job(close_day)
    await assert_enqueued(recorded, "shop.close_day")
    await assert_enqueued(pool, "shop.close_day")
    await run_job(close_day, job_context)
    print(database_url, ringline_settings.redis_url)  # noqa: T201  # the same


async def mistakes(redis: Pool, worker: WorkerRunner, context: JobContext, order_id: UUID) -> None:
    from jobs import no_such_name  # type: ignore[attr-defined]  # noqa: F401

    await jobs.connect()  # type: ignore[attr-defined]
    await connect(database="redis://localhost")  # type: ignore[call-arg]
    await connect(default_queue_name=7)  # type: ignore[arg-type]
    await redis.enqueue_job(bill)  # type: ignore[call-arg, arg-type]
    await redis.enqueue_job(bill, "order")  # type: ignore[arg-type]
    await redis.enqueue_job(bill, order_id, urgent="yes")  # type: ignore[arg-type]
    await redis.enqueue_job(bill, order_id, late=True)  # type: ignore[call-arg]
    await redis.enqueue_job(close_day, order_id)  # type: ignore[arg-type]
    await redis.enqueue_many([bill])  # type: ignore[list-item]
    request(ship, order_id, "noon")  # type: ignore[arg-type]
    cron(bill, hour=1)  # type: ignore[arg-type]
    cron(close_day, missed="never")  # type: ignore[arg-type]
    cron(configure)  # type: ignore[arg-type]
    job("shop.wrong", retries=3)  # type: ignore[call-arg]
    retry(max_retries="many")  # type: ignore[arg-type]
    await bill(context, "order")  # type: ignore[arg-type]
    context["redis"].no_such_method()  # type: ignore[attr-defined]
    await worker(bill)  # type: ignore[arg-type]
    await worker(ShopSettings, until="now")  # type: ignore[arg-type]
    worker.running(ShopSettings).cancel()  # type: ignore[attr-defined]
    await run_job(bill, context, "order")  # type: ignore[arg-type]
    load_settings().no_such_setting  # type: ignore[attr-defined]  # noqa: B018
