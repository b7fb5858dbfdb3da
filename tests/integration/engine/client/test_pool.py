"""Enqueuing: by name, by function, in bulk, deferred, expiring, and next to arq's own pool."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

import arq
import pytest
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job, JobStatus, SerializationError, serialize_result
from arq.worker import Worker, func
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.clock import ScaledClock
from jobs.engine.client.pool import BATCH, Pool
from jobs.engine.client.pools import create_pool
from jobs.engine.client.request import JobRequest, request
from jobs.engine.connection.connect import NoRedisError
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.connection.urls import Address
from jobs.engine.definition.decorator import job
from jobs.engine.queue.keys import ABORT, IN_PROGRESS, JOB, RESULT
from jobs.engine.queue.names import DEFAULT_EXPIRY_MS, QueueNames
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.engine.queue.servers import LazyRedisSettings
from jobs.engine.worker.worker import Worker as OurWorker
from jobs.errors import ServerError, UsageError
from tests.integration.workers import connect, own_redis, running

DOMAINS = QueueNames(frozenset({"lead"}), default="rest")


@job("lead.pool_test")
async def pool_test(ctx: dict[str, Any], number: int, word: str = "one") -> int:
    return number


@job("lead.elsewhere", queue="slow")
async def elsewhere(ctx: dict[str, Any]) -> None: ...


@job("lead.aliased_test", queue="lead_queue")
async def aliased(ctx: dict[str, Any]) -> None: ...


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Pool]:
    async with await create_pool(redis_url, queues=DOMAINS) as pool:
        yield pool


@pytest.fixture
async def stock(redis_url: str) -> AsyncIterator[ArqRedis]:
    """A plain arq pool with our serializer, as DESIGN promises that it works."""
    pool = await arq.create_pool(
        Address.of(redis_url).arq_settings(), job_serializer=serialize, job_deserializer=deserialize
    )
    yield pool
    await pool.aclose(close_connection_pool=True)


async def queue_of(pool: Pool, queued: Job | None) -> set[str]:
    assert queued is not None
    known = ("lead_tasks", "rest", "slow", "chosen")
    return {name for name in known if await pool.zscore(name, queued.job_id) is not None}


async def due_in(pool: Pool, queued: Job | None) -> float:
    """Seconds until the job is due, by the clock of Redis."""
    assert queued is not None
    now: tuple[int, int] = await pool.time()
    score: float | None = await pool.zscore("lead_tasks", queued.job_id)
    assert score is not None
    return score / 1000 - now[0] - now[1] / 1e6


async def lives(pool: Pool, queued: Job | None) -> float:
    """Seconds until the payload expires."""
    assert queued is not None
    return float(await pool.pttl(JOB + queued.job_id)) / 1000


async def test_job_name_determines_the_queue(pool: Pool) -> None:
    assert await queue_of(pool, await pool.enqueue_job("lead.qualify", 1)) == {"lead_tasks"}
    assert await queue_of(pool, await pool.enqueue_job("other.thing")) == {"rest"}
    assert await queue_of(pool, await pool.enqueue_job("leads")) == {"rest"}
    assert await queue_of(pool, await pool.enqueue_job("x", _queue_name="chosen")) == {"chosen"}
    alias = await pool.enqueue_job("x", _queue_name="lead_queue")
    assert await queue_of(pool, alias) == {"lead_tasks"}
    assert await queue_of(pool, await pool.enqueue_job(elsewhere)) == {"slow"}
    assert await queue_of(pool, await pool.enqueue_job("lead.elsewhere")) == {"slow"}


async def test_queue_alias_works_in_every_method(pool: Pool, redis_url: str) -> None:
    assert await queue_of(pool, await pool.enqueue_job(aliased)) == {"lead_tasks"}
    assert await queue_of(pool, await pool.enqueue_job("lead.aliased_test")) == {"lead_tasks"}
    many = await pool.enqueue_many([request(aliased), JobRequest("x", queue="lead_queue")])
    assert [await queue_of(pool, one) for one in many] == [{"lead_tasks"}] * 2
    assert len(await pool.queued_jobs(queue_name="lead_queue")) == 4
    async with await create_pool(
        redis_url, queues=DOMAINS, default_queue_name="lead_queue"
    ) as other:
        assert await queue_of(pool, await other.enqueue_job("x")) == {"lead_tasks"}
        assert len(await other.queued_jobs()) == 5


async def test_worker_serves_its_queue_by_name_and_alias(redis_url: str) -> None:
    async def seen(ctx: dict[str, Any]) -> str:
        return "seen"

    async with await create_pool(redis_url, default_queue_name="lead_queue") as ours:
        stock = await connect(redis_url)
        worker = OurWorker(
            [func(seen, name="seen")],
            queue_name="lead_queue",
            redis_pool=await create_pool(redis_url),
            job_serializer=serialize,
            job_deserializer=deserialize,
        )
        async with running(worker):
            stock.job_serializer, stock.job_deserializer = serialize, deserialize
            by_us = await ours.enqueue_job("seen")
            by_arq = await stock.enqueue_job("seen", _queue_name="lead_queue")
            for job in (by_us, by_arq):
                assert job is not None
                assert await job.result(timeout=10, poll_delay=0.02) == "seen"
        await stock.aclose(close_connection_pool=True)


async def test_job_is_enqueued_by_function(pool: Pool) -> None:
    queued = await pool.enqueue_job(pool_test, 7, word="two")
    assert queued is not None
    info = await queued.info()
    assert info is not None
    assert (info.function, list(info.args), info.kwargs) == ("lead.pool_test", [7], {"word": "two"})
    assert abs((info.enqueue_time - datetime.now(UTC)).total_seconds()) < 5
    assert await queued.status() is JobStatus.queued


async def test_duplicate_id_is_refused(pool: Pool) -> None:
    assert await pool.enqueue_job("lead.qualify", 1, _job_id="one") is not None
    assert await pool.enqueue_job("lead.qualify", 2, _job_id="one") is None
    (first,) = await pool.queued_jobs(queue_name="lead_tasks")
    assert list(first.args) == [1]


async def test_id_with_a_kept_result_is_refused(pool: Pool) -> None:
    await pool.set(RESULT + "one", b"{}")
    assert await pool.enqueue_job("lead.qualify", _job_id="one") is None
    assert await pool.enqueue_many([JobRequest("lead.qualify", job_id="one")]) == [None]


async def test_id_of_a_running_job_is_refused_after_its_expiry(pool: Pool) -> None:
    """The end of the running one would take the new one along."""
    await pool.enqueue_job("lead.pool_test", 1, _job_id="x")
    await pool.zadd("lead_tasks", {"x": -time.time() * 1000})
    await pool.set(IN_PROGRESS + "x", "someone:1", px=60_000)
    await pool.delete(JOB + "x")
    assert await pool.enqueue_job("lead.pool_test", 2, _job_id="x") is None
    await pool.delete(IN_PROGRESS + "x")
    assert await pool.enqueue_job("lead.pool_test", 2, _job_id="x") is not None


async def test_in_progress_key_without_a_job_does_not_block_the_id(pool: Pool) -> None:
    await pool.set(IN_PROGRESS + "x", "1", px=60_000)
    assert await pool.enqueue_job("lead.pool_test", 1, _job_id="x") is not None


async def test_job_may_be_deferred(pool: Pool) -> None:
    assert -5 < await due_in(pool, await pool.enqueue_job("lead.qualify")) <= 0
    by = await pool.enqueue_job("lead.qualify", _defer_by=timedelta(minutes=1))
    assert 55 < await due_in(pool, by) <= 60
    assert by is not None
    assert await by.status() is JobStatus.deferred
    moment = datetime.now(UTC) + timedelta(hours=1)
    until = await pool.enqueue_job("lead.qualify", _defer_until=moment)
    assert 3590 < await due_in(pool, until) <= 3600
    until = await pool.enqueue_job("lead.qualify", _defer_until=moment, _defer_by=0)
    assert 3590 < await due_in(pool, until) <= 3600
    with pytest.raises(UsageError, match="not both"):
        await pool.enqueue_job("lead.qualify", _defer_until=moment, _defer_by=1)


async def test_job_due_in_the_past_precedes_jobs_due_now(pool: Pool) -> None:
    now = datetime.now(UTC)
    past = await pool.enqueue_job("lead.qualify", 1, _defer_until=now - timedelta(hours=4))
    assert -4 * 3600 - 5 < await due_in(pool, past) <= -4 * 3600
    past = await pool.enqueue_job("lead.qualify", 2, _defer_by=-60)
    assert -65 < await due_in(pool, past) <= -60
    requests = [
        JobRequest("lead.qualify", (number,), defer_until=datetime(1900, 1, number, tzinfo=UTC))
        for number in (3, 4)
    ]
    for one in [*await pool.enqueue_many(requests), *await pool.enqueue_many(requests[:1])]:
        assert one is not None
        score = await pool.zscore("lead_tasks", one.job_id)
        assert score is not None
        assert score > 0, "at less than 0 it would be taken for claimed"
        assert await lives(pool, one) == pytest.approx(DEFAULT_EXPIRY_MS / 1000, abs=5)
    assert [one.args[0] for one in await pool.queued_jobs(queue_name="lead_tasks")][-2:] == [1, 2]


async def test_defer_until_follows_the_business_clock(redis_url: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = ScaledClock(start, rate=60, epoch=time.time())
    async with await create_pool(redis_url, queues=DOMAINS, clock=clock) as pool:
        queued = await pool.enqueue_job("lead.qualify", _defer_until=start + timedelta(hours=1))
        assert 55 < await due_in(pool, queued) <= 60
        queued = await pool.enqueue_job("lead.qualify", _defer_until=start - timedelta(hours=1))
        assert -65 < await due_in(pool, queued) <= -60


async def test_expiry_counts_from_the_due_time_or_from_now(pool: Pool) -> None:
    default = await pool.enqueue_job("lead.qualify", _defer_by=100)
    assert await lives(pool, default) == pytest.approx(DEFAULT_EXPIRY_MS / 1000 + 100, abs=5)
    deadline = await pool.enqueue_job("lead.qualify", _defer_by=10, _expires=30)
    assert await lives(pool, deadline) == pytest.approx(30, abs=5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"_expires": 0}, "must be positive"),
        ({"_expires": -1}, "must be positive"),
        ({"_expires": timedelta()}, "must be positive"),
        ({"_expires": float("nan")}, "not a time within"),
        ({"_defer_by": 10, "_expires": 1}, "would expire before it is due"),
        ({"_defer_by": 10, "_expires": 10}, "would expire before it is due"),
        ({"_defer_by": 1e18}, "not a time within"),
        ({"_expires": 1e18}, "not a time within"),
        ({"_defer_by": float("inf")}, "not a time within"),
    ],
)
async def test_contradictory_times_are_refused(
    pool: Pool, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        await pool.enqueue_job("lead.qualify", **options)
    assert await pool.queued_jobs(queue_name="lead_tasks") == []


async def test_argument_that_cannot_be_serialized_is_an_error(pool: Pool) -> None:
    with pytest.raises(SerializationError, match=r"lead\.qualify"):
        await pool.enqueue_job("lead.qualify", object())


async def test_bulk_results_follow_the_order_of_the_requests(pool: Pool) -> None:
    total = 2 * BATCH + 10
    requests = [
        JobRequest("lead.qualify" if n % 2 else "rest.job", (n,), job_id=f"job-{n % (total - 5)}")
        for n in range(total)
    ]
    answers = await pool.enqueue_many(requests)
    assert [None if one is None else one.job_id for one in answers] == [
        f"job-{n}" if n < total - 5 else None for n in range(total)
    ]
    assert await pool.zcard("lead_tasks") + await pool.zcard("rest") == total - 5


async def test_bulk_requests_have_individual_options(pool: Pool) -> None:
    first, second, third = await pool.enqueue_many(
        [
            JobRequest("lead.qualify", defer_by=50),
            JobRequest("lead.qualify", kwargs={"price": Decimal("1.5")}, expires=9, job_try=2),
            request(pool_test, 3, word="x"),
        ]
    )
    assert 45 < await due_in(pool, first) <= 50
    assert await lives(pool, second) == pytest.approx(9, abs=5)
    assert second is not None
    info = await second.info()
    assert info is not None
    assert (info.kwargs, info.job_try) == ({"price": "1.5"}, 2)
    assert third is not None
    assert await third.status() is JobStatus.queued


async def test_large_payloads_are_split_into_several_calls() -> None:
    async with own_redis() as server, await create_pool(server.url) as pool:
        await pool.config_set("proto-max-bulk-len", 2_000_000)
        requests = [JobRequest("x", ("y" * 50_000,), queue="chosen") for _ in range(100)]
        assert all(await pool.enqueue_many([*requests, JobRequest("x", queue="chosen")]))
        assert await pool.zcard("chosen") == 101


async def test_failed_enqueue_leaves_no_payload_behind(pool: Pool) -> None:
    """A payload without its place in a queue would block its id until it expires."""
    await pool.set("other", "1")
    requests = [JobRequest("x", job_id=queue, queue=queue) for queue in ("slow", "other", "rest")]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await pool.enqueue_many(requests)
    assert await pool.keys() == [b"other"]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await pool.enqueue_job("x", _job_id="other", _queue_name="other")
    assert await pool.keys() == [b"other"]
    assert await pool.enqueue_job("x", _job_id="other") is not None


async def test_batch_with_an_invalid_argument_is_not_enqueued(pool: Pool) -> None:
    with pytest.raises(SerializationError):
        await pool.enqueue_many([JobRequest("lead.qualify"), JobRequest("x", (object(),))])
    assert await pool.keys() == []
    assert await pool.enqueue_many([]) == []


async def test_concurrent_callers_open_a_bounded_number_of_connections(pool: Pool) -> None:
    queued = await asyncio.gather(*(pool.enqueue_job("lead.qualify", n) for n in range(500)))
    assert len({one.job_id for one in queued if one}) == 500
    clients = await pool.client_list()
    assert len(clients) <= 130


def test_pool_of_another_event_loop_is_refused(redis_url: str) -> None:
    with asyncio.Runner() as first, asyncio.Runner() as second:
        pool = first.run(create_pool(redis_url))
        first.run(pool.enqueue_job("double", 1))
        with pytest.raises(RuntimeError, match="only in the event loop that used it first"):
            second.run(pool.enqueue_job("double", 2))
        first.run(pool.aclose(close_connection_pool=True))


async def test_all_callers_share_one_connection() -> None:
    async with (
        own_redis() as server,  # on which no other test connects
        await create_pool(server.url) as pool,
        await create_pool(server.url) as other,
    ):
        before = int((await pool.info("stats"))["total_connections_received"])
        await asyncio.gather(*[other.enqueue_job("lead.x", number) for number in range(300)])
        after = int((await pool.info("stats"))["total_connections_received"])
        assert after - before <= 1
        assert await pool.zcard("lead_tasks") == 300


async def test_enqueuing_continues_after_a_redis_restart() -> None:
    async with own_redis() as server, await create_pool(server.url) as pool:
        assert await pool.enqueue_job("lead.x", 1)
        server.kill()
        with pytest.raises(RedisError):
            await pool.enqueue_job("lead.x", 2)
        server.start()
        await server.ready()
        assert await pool.enqueue_job("lead.x", 3)


@pytest.mark.parametrize("tries", [1, 2])
async def test_enqueuing_is_retried_by_redis_pys_options(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    address = Address.of(redis_url).arq_settings()
    address.retry_on_error = [RedisConnectionError]
    address.retry = Retry(NoBackoff(), tries - 1)
    async with await create_pool(address) as pool:
        call, calls = ScriptChannel.call, 0

        async def fails_once(self: ScriptChannel, *args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RedisConnectionError("lost")
            return await call(self, *args, **options)

        monkeypatch.setattr(ScriptChannel, "call", fails_once)
        if tries == 1:
            with pytest.raises(RedisConnectionError):
                await pool.enqueue_job("lead.x", 1)
        else:
            assert await pool.enqueue_job("lead.x", 1)


@pytest.mark.parametrize("many", [False, True])
async def test_retry_after_a_lost_reply_returns_jobs_with_random_ids(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """It can be there by the first try only. Of a chosen one nobody knows who enqueued it."""
    address = Address.of(redis_url).arq_settings()
    address.retry_on_error = [RedisConnectionError]
    address.retry = Retry(NoBackoff(), 1)
    async with await create_pool(address, queues=DOMAINS) as pool:
        call, calls = ScriptChannel.call, 0

        async def loses_each_first_answer(self: ScriptChannel, *args: Any, **options: Any) -> Any:
            nonlocal calls
            answer = await call(self, *args, **options)
            calls += 1
            if calls % 2:
                raise RedisConnectionError("lost")
            return answer

        monkeypatch.setattr(ScriptChannel, "call", loses_each_first_answer)

        async def enqueue(job_id: str | None) -> Sequence[Job | None]:
            if many:
                return await pool.enqueue_many([JobRequest("lead.x", job_id=job_id)] * 2)
            return [await pool.enqueue_job("lead.x", _job_id=job_id)]

        made = await enqueue(None)
        assert [await queue_of(pool, one) for one in made] == [{"lead_tasks"}] * len(made)
        assert await pool.zcard("lead_tasks") == len(made)
        assert set(await enqueue("chosen")) == {None}
        assert await pool.zcard("lead_tasks") == len(made) + 1


async def test_unresponsive_redis_ends_in_a_timeout() -> None:
    brief = "?socket_timeout=0.2"
    async with own_redis() as server, await create_pool(server.url + brief) as pool:
        server.freeze()
        with pytest.raises(RedisTimeoutError):
            await pool.enqueue_job("lead.x", 1)
        server.thaw()
        await server.ready()
        assert await pool.enqueue_job("lead.x", 2)


async def test_listing_skips_expired_jobs(pool: Pool) -> None:
    gone = await pool.enqueue_job("lead.qualify", 1)
    await pool.enqueue_job("lead.qualify", 2)
    assert gone is not None
    await pool.delete(JOB + gone.job_id)
    assert [list(one.args) for one in await pool.queued_jobs(queue_name="lead_tasks")] == [[2]]


async def test_running_job_is_listed_with_its_due_time(pool: Pool) -> None:
    """A claimed one is in the queue at the negative of it."""
    now = int(time.time() * 1000)
    queued = [await pool.enqueue_job("lead.qualify", number) for number in range(3)]
    await pool.zadd(
        "lead_tasks",
        {one.job_id: at for one, at in zip(queued, (-now, now + 1, -now - 2), strict=True) if one},
    )
    listed = await pool.queued_jobs(queue_name="lead_tasks")
    assert [(list(one.args), one.score) for one in listed] == [
        ([0], now),
        ([1], now + 1),
        ([2], now + 2),
    ]
    for one in queued:
        assert one is not None
        info = await one.info()
        assert info is not None
        assert now <= (info.score or 0) <= now + 2


async def test_abort_does_not_move_a_running_job(pool: Pool) -> None:
    """By its due time arq takes it for a deferred one, where this machine's clock is behind."""
    queued = await pool.enqueue_job("lead.qualify")
    assert queued is not None
    claimed = -(time.time() + 3600) * 1000
    await pool.zadd("lead_tasks", {queued.job_id: claimed})
    with pytest.raises(TimeoutError):
        await queued.abort(timeout=0, poll_delay=0.01)
    assert await pool.zscore("lead_tasks", queued.job_id) == claimed
    assert await pool.zscore(ABORT, queued.job_id)


async def test_result_is_listed_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis may name a key twice, while others come or go."""
    scan = Pool.scan

    async def twice(self: Pool, *args: Any, **options: Any) -> tuple[int, list[bytes]]:
        cursor, found = await scan(self, *args, **options)
        return cursor, [*found, *found]

    monkeypatch.setattr(Pool, "scan", twice)
    for number in range(250):
        result = serialize_result(
            "x",
            (),
            {},
            1,
            number,
            True,
            number,
            1,
            2,
            "r",
            "rest",
            serializer=serialize,
            job_id="?",
        )
        assert result is not None
        await pool.set(f"{RESULT}{number}", result)
    results = await pool.all_job_results()
    assert [(one.job_id, one.result) for one in results] == [(str(n), n) for n in range(250)]


async def test_jobs_are_interchangeable_with_arqs(pool: Pool, stock: ArqRedis) -> None:
    """What either enqueues, the other reads, an arq worker runs, and both read its result."""
    ours = await pool.enqueue_job(pool_test, 7)
    theirs = await stock.enqueue_job("lead.pool_test", 8, _queue_name="lead_tasks")
    assert ours is not None
    assert theirs is not None
    worker = Worker(
        functions=[pool_test],
        queue_name="lead_tasks",
        redis_pool=stock,
        burst=True,
        poll_delay=0.01,
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    await worker.async_run()
    assert (await ours.result(), await theirs.result()) == (7, 8)
    assert sorted(result.result for result in await pool.all_job_results()) == [7, 8]
    again = await stock.enqueue_job("lead.pool_test", 9, _job_id=ours.job_id)
    assert again is None
    times = [result.enqueue_time for result in await pool.all_job_results()]
    assert all(before <= after for before, after in pairwise(times))


async def test_pool_may_share_the_connections_of_arqs_pool(stock: ArqRedis) -> None:
    pool = Pool.sharing(stock, queues=DOMAINS)
    assert await queue_of(pool, await pool.enqueue_job("lead.qualify")) == {"lead_tasks"}
    await pool.aclose()
    assert await stock.ping()


@pytest.mark.parametrize("kind", [RedisSettings.from_dsn, LazyRedisSettings])
async def test_pool_accepts_arqs_settings(redis_url: str, kind: type[RedisSettings]) -> None:
    async with await create_pool(kind(redis_url), queues=DOMAINS) as pool:
        assert await pool.enqueue_job("lead.qualify", uuid4()) is not None


async def test_wrong_password_is_reported_in_one_line(redis_url: str) -> None:
    url = redis_url.replace("unix://", "unix://nobody:secret@")
    with pytest.raises(NoRedisError, match=r"cannot use Redis at unix:///.*: ") as raised:
        await create_pool(url)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, ServerError)
