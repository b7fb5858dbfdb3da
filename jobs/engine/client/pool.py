"""Enqueuing: arq's pool, with queues by name, JSON, checked arguments, and many jobs at once."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, ParamSpec, TypeVarTuple, overload

from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Deserializer, JobDef, JobResult, Serializer, serialize_job
from arq.typing import SecondsTimedelta
from arq.utils import timestamp_ms
from redis.asyncio import ConnectionPool

from jobs.clock import Clock, SystemClock
from jobs.engine.client.batch import Batch, Group, Place
from jobs.engine.client.job import Job
from jobs.engine.client.request import (
    JobFunction,
    JobRequest,
    name_and_queue,
    require_arguments,
    times,
)
from jobs.engine.connection.connect import connect_pool, connection_failure
from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.protocol import Argument
from jobs.engine.connection.raw_connection import make_connection
from jobs.engine.connection.script import Script
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.connection.urls import Address
from jobs.engine.definition.job import find_job
from jobs.engine.queue.inspection import jobs_of, results_of
from jobs.engine.queue.names import DEFAULT_EXPIRY_MS, QueueNames
from jobs.engine.queue.scripts import ENQUEUE, ENQUEUE_MANY
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.engine.queue.servers import QueueUrls, address_of, configured_url, resolve
from jobs.errors import UsageError
from jobs.settings import get_settings

P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

REPLY_TIMEOUT: Final = 30.0
"""Seconds that an answer may take, where redis-py's `socket_timeout` does not say."""
BATCH: Final = 1000
"""Jobs in one script call: Redis does nothing else meanwhile (about 10 ms)."""
BATCH_BYTES: Final = 1_000_000
"""Of payloads, after which a call takes no further job: servers bound what one may bring."""


class Pool(ArqRedis):
    """A pool of connections to Redis, by which jobs are enqueued.

    clock: what `_defer_until` is read by. queues: which queue a job's name means; names that it
    does not know go to `default_queue_name`. urls: the Redis of each queue, where there are
    several, and `url` which of them this pool's is; the others are connected to when a job needs
    it. What is not of one queue, such as redis-py's own commands, goes to this pool's.
    """

    connection_pool: ConnectionPool
    _pools: "dict[str | None, Pool]"

    def __init__(
        self,
        pool_or_conn: ConnectionPool | None = None,
        job_serializer: Serializer | None = serialize,
        job_deserializer: Deserializer | None = deserialize,
        default_queue_name: str | None = None,
        expires_extra_ms: int = DEFAULT_EXPIRY_MS,
        *,
        clock: Clock | None = None,
        queues: QueueNames | None = None,
        urls: QueueUrls | None = None,
        url: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.clock = clock or SystemClock()
        self.queues = queues or QueueNames.discover()
        self._urls = urls if urls is not None and urls.others else None  # else all are here
        self._url = url
        self._home = self
        """The pool that this one was made by: it has those of other servers, and closes them."""
        self._pools = {} if url is None else {url: self}
        super().__init__(
            pool_or_conn,
            job_serializer,
            job_deserializer,
            self.queues.canonical(default_queue_name or self.queues.default),
            expires_extra_ms,
            **kwargs,
        )
        connections = self.connection_pool
        timeout = connections.connection_kwargs.get("socket_timeout") or REPLY_TIMEOUT
        self._channel = ScriptChannel(connections, timeout=timeout)
        self._options = make_connection(connections, protocol=2)  # never connected

    @classmethod
    def sharing(
        cls,
        redis: ArqRedis,
        *,
        clock: Clock | None = None,
        queues: QueueNames | None = None,
        urls: QueueUrls | None = None,
        url: str | None = None,
    ) -> "Pool":
        """A pool over the connections of `redis`, whose owner closes them, with its serializer; but
        the default queue and the expiry are ours."""
        return cls(
            redis.connection_pool,  # pyright: ignore[reportArgumentType]  # arq's is asyncio's
            job_serializer=redis.job_serializer,
            job_deserializer=redis.job_deserializer,
            clock=clock,
            queues=queues,
            urls=urls,
            url=url,
        )

    async def open(self) -> None:
        """Connect now, so that the first job need not wait for it."""
        await self._channel.open()

    def at(self, queue: str) -> "Pool":
        """The pool of the Redis that has this queue; the pool that was opened first closes it."""
        if self._urls is None:
            return self
        url = self._urls.of(queue)
        if url == self._url:
            return self
        if self.single_connection_client:
            raise UsageError(
                f"{queue} is on another Redis: its one connection is pool.at({queue!r}).client()"
            )
        return self._home._pool_at(url)  # noqa: SLF001 - of its own class

    def everywhere(self) -> list["Pool"]:
        """A pool for each Redis that has a queue, this one among them; of a client this one."""
        if self._urls is None or self.single_connection_client:
            return [self]
        return [self._home._pool_at(url) for url in self._urls.all()]  # noqa: SLF001 - the same

    def _pool_at(self, url: str) -> "Pool":
        pool = self._pools.get(url)
        if pool is None:
            pool = self._pools[url] = self._like(Address.of(url).connections(), url)
            pool.auto_close_connection_pool = True
        return pool

    def client(self) -> "Pool":
        """This pool's Redis by one connection, while `async with` lasts: WAIT is about what went
        over the same one. It refuses jobs of a queue that is on another Redis, with UsageError."""
        return self._like(self.connection_pool, self._url, single_connection_client=True)

    def _like(self, connections: ConnectionPool, url: str | None, **options: Any) -> "Pool":
        pool = Pool(
            connections,
            self.job_serializer,
            self.job_deserializer,
            self.default_queue_name,
            self.expires_extra_ms,
            clock=self.clock,
            queues=self.queues,
            urls=self._urls,
            url=url,
            **options,
        )
        pool._home = self._home
        return pool

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections that are this pool's to close, to each Redis."""
        for pool in self._pools.values():
            if pool is not self:
                await pool.aclose()
        await self._channel.close()
        await super().aclose(close_connection_pool)

    @overload
    async def enqueue_job(
        self, function: JobFunction[P], *args: P.args, **kwargs: P.kwargs
    ) -> Job | None: ...
    @overload
    async def enqueue_job(
        self,
        function: Callable[[Any, *Ts], Coroutine[Any, Any, Any]],
        *args: *Ts,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: SecondsTimedelta | None = None,
        _expires: SecondsTimedelta | None = None,
        _job_try: int | None = None,
    ) -> Job | None: ...
    @overload
    async def enqueue_job(
        self,
        function: str,
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: SecondsTimedelta | None = None,
        _expires: SecondsTimedelta | None = None,
        _job_try: int | None = None,
        **kwargs: Any,
    ) -> Job | None: ...
    async def enqueue_job(  # type: ignore[misc]  # a function may have parameters named as options
        self,
        function: str | Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: SecondsTimedelta | None = None,
        _expires: SecondsTimedelta | None = None,
        _job_try: int | None = None,
        **kwargs: Any,
    ) -> Job | None:
        """Enqueue one job, by name or by function; None when its id has a job or a kept result.

        A function's arguments are checked by the type checker; together with options, give them by
        position. _queue_name: by default the name's prefix says it. _defer_until: a moment
        of the pool's clock; a job of a past one goes before what is due now. _expires: a deadline
        counted from now, after which the job is not started; by default 30 days after it is due.
        The rest is as in arq.
        """
        if isinstance(function, str):
            name, queue = function, None
        else:
            name, queue = name_and_queue(function)
            require_arguments(function, args, kwargs)
        place = self._place(name, _queue_name or queue, _defer_by, _defer_until, _expires)
        payload = serialize_job(
            name, args, kwargs, _job_try, timestamp_ms(), serializer=self.job_serializer
        )
        pool = self.at(place.queue)
        return await pool._enqueue_one(place, _job_id, payload)  # noqa: SLF001 - of its own class

    async def enqueue_many(self, requests: Sequence[JobRequest], /) -> list[Job | None]:
        """Enqueue jobs, a thousand or a megabyte in one round trip; each answer is as from
        `enqueue_job`.

        Raises at the first that cannot be serialized; what was sent before stays enqueued. Where
        one of several servers fails, the others get theirs all the same.
        """
        by_pool: dict[Pool, list[int]] = {}
        if self._urls is not None:
            for number, wanted in enumerate(requests):
                queue = self._queue(wanted.function, wanted.queue)
                by_pool.setdefault(self.at(queue), []).append(number)
        if by_pool.keys() <= {self}:
            return await self._enqueue_here(requests)
        answers = await asyncio.gather(
            *[
                pool.enqueue_many([requests[number] for number in numbers])
                for pool, numbers in by_pool.items()
            ],
            return_exceptions=True,
        )
        jobs: list[Job | None] = [None] * len(requests)
        for numbers, answer in zip(by_pool.values(), answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            for number, job in zip(numbers, answer, strict=True):
                jobs[number] = job
        return jobs

    async def _enqueue_here(self, requests: Sequence[JobRequest]) -> list[Job | None]:
        if len(requests) == 1:
            (wanted,) = requests
            payload = self._payload(wanted, timestamp_ms())
            return [await self._enqueue_one(self._place_of(wanted), wanted.job_id, payload)]
        jobs: list[Job | None] = []
        sent: asyncio.Task[list[Job | None]] | None = None
        try:
            start = 0
            while start < len(requests):
                # Redis works on one batch while the next one is put together.
                batch, taken = self._batch(requests[start : start + BATCH])
                start += taken
                before, sent = sent, asyncio.create_task(self._add(batch))
                if before is None:
                    await asyncio.sleep(0)  # lets the first one leave
                else:
                    jobs += await before
        finally:
            if sent is not None:
                jobs += await sent
        return jobs

    def queue_of(self, name: str) -> str:
        """The queue that a job of this name goes to."""
        known = find_job(name)
        if known is not None and known.queue is not None:
            return self.queues.canonical(known.queue)
        queue = self.queues.of_job(name)
        return self.default_queue_name if queue == self.queues.default else queue

    async def all_job_results(self) -> list[JobResult]:
        """Every kept result, of every Redis, in order of enqueuing."""
        return await results_of(self.everywhere(), deserializer=self.job_deserializer)

    async def queued_jobs(self, *, queue_name: str | None = None) -> list[JobDef]:
        """The jobs of a queue, in order of their due time, those that run among them; ids whose
        payload has expired are left out."""
        queue = self.queues.canonical(queue_name or self.default_queue_name)
        return await jobs_of(self.at(queue), queue, deserializer=self.job_deserializer)

    async def _enqueue_one(self, place: Place, job_id: str | None, payload: bytes) -> Job | None:
        chosen = "1"
        if not job_id:
            job_id, chosen = os.urandom(16).hex(), ""
        queue, delay, expiry = place
        added = await self._call(
            ENQUEUE, [queue], job_id, payload, delay, expiry, chosen, notify_first=True
        )
        return Job(job_id, self, queue, self.job_deserializer) if added else None

    def _batch(self, requests: Sequence[JobRequest]) -> tuple[Batch, int]:
        """Jobs for one script call, grouped by what they have in common; and how many of `requests`
        they are: more are left where these have BATCH_BYTES."""
        now_ms = timestamp_ms()
        random_ids = os.urandom(16 * len(requests)).hex()
        groups: dict[tuple[Any, ...], Group] = {}
        batch, size, number = Batch(), 0, -1
        for number, wanted in enumerate(requests):
            job_id = wanted.job_id
            when = wanted.defer_by, wanted.defer_until, wanted.expires
            alike = wanted.queue, wanted.function, when, not job_id
            group = groups.get(alike)
            if group is None:
                place = self._place_of(wanted)
                group = groups[alike] = batch.group(place, chosen=bool(job_id))
            payload = self._payload(wanted, now_ms)
            job_id = job_id or random_ids[32 * number : 32 * number + 32]
            batch.add(group, payload, Job(job_id, self, group.queue, self.job_deserializer))
            size += len(payload)
            if size >= BATCH_BYTES:
                break
        return batch, number + 1

    def _payload(self, wanted: JobRequest, now_ms: int) -> bytes:
        return serialize_job(
            wanted.function,
            wanted.args,
            wanted.kwargs,
            wanted.job_try,
            now_ms,
            serializer=self.job_serializer,
        )

    def _place_of(self, wanted: JobRequest) -> Place:
        return self._place(
            wanted.function, wanted.queue, wanted.defer_by, wanted.defer_until, wanted.expires
        )

    def _place(
        self,
        name: str,
        queue: str | None,
        defer_by: SecondsTimedelta | None,
        defer_until: datetime | None,
        expires: SecondsTimedelta | None,
    ) -> Place:
        delay, expiry = times(
            defer_by, defer_until, expires, clock=self.clock, kept_ms=self.expires_extra_ms
        )
        return Place(self._queue(name, queue), delay, expiry)

    async def _add(self, batch: Batch) -> list[Job | None]:
        return batch.answers(await self._call(ENQUEUE_MANY, (), batch.packed()))

    async def _call(
        self, script: Script, keys: Sequence[str], *args: Argument, notify_first: bool = False
    ) -> Any:
        if self.single_connection_client:  # the caller may ask about this very connection: WAIT
            return await self.register_script(script.text)(keys, args)
        try:
            return await self._channel.call(script, keys, *args, notify_first=notify_first)
        except tuple(self._options.retry_on_error) as error:
            again = partial(self._channel.call, script, keys, *args, notify_first=notify_first)
            return await self._retried(again, error)

    async def _retried(self, call: Callable[[], Awaitable[Any]], failure: Exception) -> Any:
        """As redis-py does with commands, where its options say so. failure: of the first time."""
        failures = [failure]

        async def send() -> Any:
            if failures:
                raise failures.pop()
            return await call()

        async def failed(error: Exception) -> None:
            if not isinstance(error, tuple(self._options.retry_on_error)):
                raise error

        return await self._options.retry.call_with_retry(send, failed)

    def _queue(self, name: str, queue: str | None) -> str:
        return self.queue_of(name) if queue is None else self.queues.canonical(queue)


async def create_pool(
    redis: RedisSettings | QueueUrls | str | None = None,
    *,
    retry: int = 0,
    job_serializer: Serializer | None = serialize,
    job_deserializer: Deserializer | None = deserialize,
    default_queue_name: str | None = None,
    expires_extra_ms: int = DEFAULT_EXPIRY_MS,
    clock: Clock | None = None,
    queues: QueueNames | None = None,
) -> Pool:
    """A pool that has had an answer from Redis.

    redis: a URL with any of redis-py's options, or arq's settings, for all queues; or a URL for
    each, of which the default one has to answer; by default REDIS_URL and TASK_QUEUE_URLS. Raises
    NoRedisError, one line, when there is no answer after five tries, or as many as arq's settings
    say. retry: how many of them were made already, as in arq.
    """
    if redis is None:
        redis = QueueUrls.from_settings(get_settings(), resolve(configured_url))
    urls = redis if isinstance(redis, QueueUrls) else None
    address = address_of(redis.default if isinstance(redis, QueueUrls) else redis)
    pool = Pool(
        await connect_pool(address, tries_used=retry),
        job_serializer,
        job_deserializer,
        default_queue_name,
        expires_extra_ms,
        clock=clock,
        queues=queues,
        urls=urls,
        url=None if urls is None else urls.default,
    )
    pool.auto_close_connection_pool = True
    try:
        await pool.open()
    except BaseException as error:
        await pool.aclose()
        if isinstance(error, TRANSIENT_ERRORS):
            raise connection_failure(address, error) from error
        raise
    return pool
