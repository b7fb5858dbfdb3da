"""The pool: arq's pool, with queues by job name, JSON, validated arguments and batches."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, ParamSpec, TypeVarTuple, overload

from arq.connections import ArqRedis
from arq.jobs import Deserializer, JobDef, JobResult, Serializer, serialize_job
from arq.typing import SecondsTimedelta
from arq.utils import timestamp_ms
from redis.asyncio import ConnectionPool

from jobs.clock import Clock, SystemClock
from jobs.engine.client.batch import Batch, Destination, Group
from jobs.engine.client.job import Job
from jobs.engine.client.request import (
    JobFunction,
    JobRequest,
    name_and_queue,
    require_arguments,
    times,
)
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
from jobs.engine.queue.servers import QueueUrls
from jobs.errors import UsageError

P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

REPLY_TIMEOUT: Final = 30.0
"""Seconds that a reply may take, unless redis-py's `socket_timeout` is set."""
BATCH: Final = 1000
"""Jobs per script call: Redis does nothing else meanwhile (about 10 ms)."""
BATCH_BYTES: Final = 1_000_000
"""Bytes of payloads after which a call takes no further job: servers limit a call's size."""


class Pool(ArqRedis):
    """A pool of connections to Redis that enqueues jobs.

    If queues are on several servers, the pool connects to the others when a job needs them. The
    commands of redis-py go to this pool's server.

    Args:
        pool_or_conn: The connections.
        job_serializer: Writes payloads.
        job_deserializer: Reads payloads and results.
        default_queue_name: The queue of names that `queues` does not know.
        expires_extra_ms: Milliseconds for which a job is kept after it is due.
        clock: Business time, which `_defer_until` is in.
        queues: Maps job names to queues.
        urls: The server of each queue, if there are several.
        url: This pool's server among `urls`.
        kwargs: Options of `ArqRedis`.
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
        self._urls = urls if urls is not None and urls.others else None  # else all queues are here
        self._url = url
        self._owner = self
        """The pool that owns the pools of the other servers, and closes them."""
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
        """Return a pool over the connections of `redis`, whose owner closes them.

        The serializers are those of `redis`; the default queue and the expiry are ours.

        Args:
            redis: arq's pool.
            clock: Business time.
            queues: Maps job names to queues.
            urls: The server of each queue, if there are several.
            url: The server of `redis` among `urls`.
        """
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
        """Connect now, so that the first job does not wait for the connection."""
        await self._channel.open()

    def at(self, queue: str) -> "Pool":
        """Return the pool of the server that has a queue. The pool opened first closes it.

        Raises:
            UsageError: This is a `client()`, and the queue is on another server.
        """
        if self._urls is None:
            return self
        url = self._urls.of(queue)
        if url == self._url:
            return self
        if self.single_connection_client:
            raise UsageError(
                f"{queue} is on another Redis: its one connection is pool.at({queue!r}).client()"
            )
        return self._owner._pool_at(url)  # noqa: SLF001 - same class

    def everywhere(self) -> list["Pool"]:
        """Return one pool per server; for a `client()`, itself."""
        if self._urls is None or self.single_connection_client:
            return [self]
        return [self._owner._pool_at(url) for url in self._urls.all()]  # noqa: SLF001 - same class

    def _pool_at(self, url: str) -> "Pool":
        pool = self._pools.get(url)
        if pool is None:
            pool = self._pools[url] = self._like(Address.of(url).connections(), url)
            pool.auto_close_connection_pool = True
        return pool

    def client(self) -> "Pool":
        """Return a pool over one connection, for use in `async with`.

        Redis's WAIT concerns the writes of one connection. The pool refuses jobs of queues on
        other servers.
        """
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
        pool._owner = self._owner
        return pool

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections that this pool owns, to every server."""
        for pool in self._pools.values():
            if pool is not self:
                await pool.aclose()
        await self._channel.close()
        await super().aclose(close_connection_pool)

    @overload  # type: ignore[override]  # arq names the first parameter: a job may have one
    async def enqueue_job(
        self, function: JobFunction[P], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job | None: ...
    @overload
    async def enqueue_job(
        self,
        function: Callable[[Any, *Ts], Coroutine[Any, Any, Any]],
        /,
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
        /,
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
        /,
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: SecondsTimedelta | None = None,
        _expires: SecondsTimedelta | None = None,
        _job_try: int | None = None,
        **kwargs: Any,
    ) -> Job | None:
        """Enqueue one job, by its name or by its function.

        The type checker validates the arguments of a function; together with options, pass them by
        position. At run time, arguments that the job would not receive equal are refused.

        Args:
            function: The job's name, or the function.
            args: Positional arguments after the context.
            _job_id: The job's id; by default a random one.
            _queue_name: The queue; by default the queue of the name.
            _defer_until: The due time, by the pool's clock. A job with a past due time goes before
                what is due now.
            _defer_by: Seconds until the job is due.
            _expires: Seconds from now after which the job is not started any more; by default 30
                days after it is due.
            _job_try: arq's option: the number of the first execution.
            kwargs: Keyword arguments.

        Returns:
            The job's handle; None if the id belongs to a job or to a kept result.

        Raises:
            UsageError: The times contradict each other.
            ValidationError: The job would not receive an argument equal to what is sent.
            SerializationError: An argument has no JSON form.
        """
        if isinstance(function, str):
            name, queue = function, None
        else:
            name, queue = name_and_queue(function)
            require_arguments(function, args, kwargs)
        destination = self._destination(
            name, _queue_name or queue, _defer_by, _defer_until, _expires
        )
        payload = serialize_job(
            name, args, kwargs, _job_try, timestamp_ms(), serializer=self.job_serializer
        )
        pool = self.at(destination.queue)
        return await pool._enqueue_one(destination, _job_id, payload)  # noqa: SLF001 - its class

    async def enqueue_many(self, requests: Sequence[JobRequest], /) -> list[Job | None]:
        """Enqueue many jobs, a thousand or a megabyte per round trip.

        If one of several servers fails, the others receive their jobs all the same.

        Args:
            requests: The jobs.

        Returns:
            One handle per request, as from `enqueue_job`.

        Raises:
            SerializationError: An argument has no JSON form. Jobs of earlier batches stay enqueued.
        """
        by_pool: dict[Pool, list[int]] = {}
        if self._urls is not None:
            for number, request in enumerate(requests):
                queue = self._queue(request.function, request.queue)
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
            (request,) = requests
            payload = self._payload(request, timestamp_ms())
            destination = self._destination_of(request)
            return [await self._enqueue_one(destination, request.job_id, payload)]
        jobs: list[Job | None] = []
        sent: asyncio.Task[list[Job | None]] | None = None
        try:
            start = 0
            while start < len(requests):
                # Redis works on one batch while the next one is packed.
                batch, taken = self._batch(requests[start : start + BATCH])
                start += taken
                previous, sent = sent, asyncio.create_task(self._add(batch))
                if previous is None:
                    await asyncio.sleep(0)  # sends the first batch
                else:
                    jobs += await previous
        finally:
            if sent is not None:
                jobs += await sent
        return jobs

    def queue_of(self, name: str) -> str:
        """Return the queue of a job name."""
        known = find_job(name)
        if known is not None and known.queue is not None:
            return self.queues.canonical(known.queue)
        queue = self.queues.of_job(name)
        return self.default_queue_name if queue == self.queues.default else queue

    async def all_job_results(self) -> list[JobResult]:
        """Return every kept result of every server, in the order of enqueuing."""
        return await results_of(self.everywhere(), deserializer=self.job_deserializer)

    async def queued_jobs(self, *, queue_name: str | None = None) -> list[JobDef]:
        """Return the jobs of a queue in the order of their due time, the running ones included.

        Ids whose payload has expired are left out.
        """
        queue = self.queues.canonical(queue_name or self.default_queue_name)
        return await jobs_of(self.at(queue), queue, deserializer=self.job_deserializer)

    async def _enqueue_one(
        self, destination: Destination, job_id: str | None, payload: bytes
    ) -> Job | None:
        chosen = "1"
        if not job_id:
            job_id, chosen = os.urandom(16).hex(), ""
        queue, delay, expiry = destination
        added = await self._call(
            ENQUEUE, [queue], job_id, payload, delay, expiry, chosen, notify_first=True
        )
        return Job(job_id, self, queue, self.job_deserializer) if added else None

    def _batch(self, requests: Sequence[JobRequest]) -> tuple[Batch, int]:
        """Return a batch for one script call, and the number of requests in it.

        A batch ends after BATCH_BYTES.
        """
        now_ms = timestamp_ms()
        random_ids = os.urandom(16 * len(requests)).hex()
        groups: dict[tuple[Any, ...], Group] = {}
        batch, size, number = Batch(), 0, -1
        for number, request in enumerate(requests):
            job_id = request.job_id
            when = request.defer_by, request.defer_until, request.expires
            key = request.queue, request.function, when, not job_id
            group = groups.get(key)
            if group is None:
                destination = self._destination_of(request)
                group = groups[key] = batch.group(destination, chosen=bool(job_id))
            payload = self._payload(request, now_ms)
            job_id = job_id or random_ids[32 * number : 32 * number + 32]
            batch.add(group, payload, Job(job_id, self, group.queue, self.job_deserializer))
            size += len(payload)
            if size >= BATCH_BYTES:
                break
        return batch, number + 1

    def _payload(self, request: JobRequest, now_ms: int) -> bytes:
        return serialize_job(
            request.function,
            request.args,
            request.kwargs,
            request.job_try,
            now_ms,
            serializer=self.job_serializer,
        )

    def _destination_of(self, request: JobRequest) -> Destination:
        return self._destination(
            request.function, request.queue, request.defer_by, request.defer_until, request.expires
        )

    def _destination(
        self,
        name: str,
        queue: str | None,
        defer_by: SecondsTimedelta | None,
        defer_until: datetime | None,
        expires: SecondsTimedelta | None,
    ) -> Destination:
        delay, expiry = times(
            defer_by, defer_until, expires, clock=self.clock, kept_ms=self.expires_extra_ms
        )
        return Destination(self._queue(name, queue), delay, expiry)

    async def _add(self, batch: Batch) -> list[Job | None]:
        return batch.results(await self._call(ENQUEUE_MANY, (), batch.packed()))

    async def _call(
        self, script: Script, keys: Sequence[str], *args: Argument, notify_first: bool = False
    ) -> Any:
        if self.single_connection_client:  # the caller may use WAIT on this connection
            return await self.register_script(script.text)(keys, args)
        try:
            return await self._channel.call(script, keys, *args, notify_first=notify_first)
        except tuple(self._options.retry_on_error) as error:
            again = partial(self._channel.call, script, keys, *args, notify_first=notify_first)
            return await self._retried(again, error)

    async def _retried(self, call: Callable[[], Awaitable[Any]], failure: Exception) -> Any:
        """Retry a call as redis-py's options say, after a first `failure`."""
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
