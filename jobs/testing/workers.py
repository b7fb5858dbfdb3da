"""Workers in the process of a test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from signal import Signals
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jobs.engine import Outcome, Worker

_OF_PLAIN_CLASSES: Final = ("job_serializer", "job_deserializer", "dead_letters", "observers")
"""Options that a settings class written for arq gets from `EngineSettings`, as under
`ringline worker`."""


class WorkerRunner:
    """Runs workers in the process of the test; the value of the fixture `worker`.

    Args:
        redis_url: URL of the test's Redis database.
        open_database: Points DATABASE_URL at the test's database.
    """

    def __init__(self, redis_url: str, open_database: Callable[[], None]) -> None:
        self._redis_url = redis_url
        self._open_database = open_database

    async def __call__(
        self, *settings: type, until: float = 10, timeout: float = 30, **options: Any
    ) -> "list[Outcome]":
        """Run the due jobs of settings classes, and the jobs that these enqueue.

        Jobs that are due later stay in the queue. Schedules do not fire, and a job that no class
        lists fails at once.

        Args:
            settings: Settings classes; one worker serves all of them.
            until: Seconds from now: jobs that are due within them run too, such as retries.
            timeout: Real seconds to wait for the jobs.
            options: Options of the worker that replace those of the classes.

        Returns:
            The outcome of each execution, in order.

        Raises:
            TimeoutError: Jobs are still running or queued; the message lists their ids.
            Exception: The worker cannot start.
        """
        async with self._running(settings, options) as (worker, task, outcomes):
            deadline = asyncio.get_running_loop().time() + timeout
            while not task.done() and (left := await _due(worker, until)):
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError(f"unfinished after {timeout:g} s: {', '.join(left)}")
                await asyncio.sleep(0.01)
        return outcomes

    @asynccontextmanager
    async def running(self, *settings: type, **options: Any) -> "AsyncIterator[list[Outcome]]":
        """Run a worker while the block runs; jobs that still run at its end are requeued.

        Args:
            settings: Settings classes; one worker serves all of them.
            options: Options of the worker that replace those of the classes.

        Returns:
            A context manager with the list of outcomes, which grows while the worker runs.

        Raises:
            Exception: The worker cannot start.
        """
        async with self._running(settings, options) as (_, _, outcomes):
            yield outcomes

    @asynccontextmanager
    async def _running(
        self, settings: Sequence[type], options: dict[str, Any]
    ) -> "AsyncIterator[tuple[Worker, asyncio.Task[None], list[Outcome]]]":
        from jobs.engine.bootstrap.workers import in_turn

        outcomes: list[Outcome] = []
        started = asyncio.Event()

        async def announce(_: dict[Any, Any]) -> None:
            started.set()

        worker = self._create(settings, options, outcomes)
        startup = in_turn([hook for hook in (worker.on_startup, announce) if hook])
        worker.on_startup = startup  # type: ignore[assignment]  # arq's type requires a __qualname__
        task = asyncio.create_task(worker.async_run())
        starting = asyncio.create_task(started.wait())
        try:
            await asyncio.wait([task, starting], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                yield worker, task, outcomes
        finally:
            starting.cancel()
            if not task.done():
                worker.handle_sig(Signals.SIGTERM)
            await asyncio.wait([task])
            await worker.close()
        if not task.cancelled():
            task.result()

    def _create(
        self, settings: Sequence[type], options: dict[str, Any], outcomes: "list[Outcome]"
    ) -> "Worker":
        from jobs.context import DomainSettings
        from jobs.engine import EngineSettings
        from jobs.engine.bootstrap.workers import create_worker, options_of
        from jobs.engine.connection.urls import Address

        if any(issubclass(cls, DomainSettings) for cls in settings):
            self._open_database()
        listed = {name for cls in settings for name in options_of(cls)}
        defaults: dict[str, Any] = {
            name: getattr(EngineSettings, name) for name in _OF_PLAIN_CLASSES if name not in listed
        }
        worker = create_worker(
            *settings,
            **{
                **defaults,
                "redis_settings": Address.of(self._redis_url).arq_settings(),
                "cron_jobs": [],
                "handle_signals": False,
                "requeue_unknown": False,
                **options,
            },
        )
        worker.observers.append(outcomes.append)
        return worker


async def _due(worker: "Worker", until: float) -> list[str]:
    """Return the jobs that run, or are due within `until` seconds, with their queues."""
    seconds, _ = await worker.pool.time()
    latest = (seconds + 1 + until) * 1000
    return [
        f"{job_id.decode()} in {queue}"
        for queue in worker.queues
        for job_id, score in await worker.pool.zrange(queue, 0, -1, withscores=True)
        if score <= latest  # below 0 while the job runs
    ]
