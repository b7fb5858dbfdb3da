"""From settings classes to running workers: one for each Redis, which may serve several classes."""

import asyncio
import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from signal import Signals
from typing import Any, Final, TypeVar

from arq.utils import to_seconds
from arq.worker import Function, func

from jobs.engine.bootstrap.worker_settings import Startup, own_hook
from jobs.engine.queue.keys import ARQ_DEFAULT_QUEUE
from jobs.engine.queue.names import job_names
from jobs.engine.queue.servers import LazyRedisSettings, resolve
from jobs.engine.scheduling.cron import Cron, refuse_duplicate_names
from jobs.engine.worker.worker import Worker
from jobs.errors import UsageError

T = TypeVar("T", Function, Cron)
Hook = Callable[[dict[Any, Any]], Awaitable[Any]]

_PARAMETERS: Final = frozenset(inspect.signature(Worker).parameters)
_BAKED: Final = {
    "job_timeout": "timeout_s",
    "keep_result": "keep_result_s",
    "keep_result_forever": "keep_result_forever",
    "max_tries": "max_tries",
}
"""Options that are defaults for functions: written into each function, they may differ."""


def options_of(settings: type) -> dict[str, Any]:
    """What a settings class says to a worker, its bases included."""
    options: dict[str, Any] = {}
    for base in reversed(settings.__mro__):
        options |= {name: value for name, value in vars(base).items() if name in _PARAMETERS}
    return {
        name: value.__func__ if isinstance(value, staticmethod) else value
        for name, value in options.items()
    }


def create_worker(*classes: type, **overrides: Any) -> Worker:
    """One worker for the queues of these settings classes.

    Hooks that they share run once. An option in which they differ has to be among `overrides`;
    else UsageError is raised.
    """
    said = [options_of(one) for one in classes]
    options = said[0] if len(said) == 1 else _merged(classes, said, overrides)
    jobs = [name for cls in classes for name in job_names(cls)]
    startup = Startup.around(options.get("on_startup"), _queues_of(options | overrides), jobs)
    return Worker(**options | {"on_startup": startup} | overrides)


def create_workers(*classes: type, **overrides: Any) -> list[Worker]:
    """A worker for each Redis that the queues of these settings classes are on."""
    by_redis: dict[str, list[type]] = {}
    for one in classes:
        by_redis.setdefault(_redis_of(options_of(one)), []).append(one)
    return [create_worker(*together, **overrides) for together in by_redis.values()]


def _redis_of(options: Mapping[str, Any]) -> str:
    """The same for all that are on one Redis. Raises UsageError for queues on several."""
    found = options.get("redis_settings")
    if not isinstance(found, LazyRedisSettings):
        return repr(found)
    url, queues = found.resolve(), options.get("queues") or ()
    if any(resolve(found.url, queue) != url for queue in queues):
        raise UsageError(
            f"{' and '.join(queues)} are on different servers: "
            "list the queues of each in a settings class of its own"
        )
    return url


def _queues_of(options: Mapping[str, Any]) -> Sequence[str]:
    return options.get("queues") or [options.get("queue_name", ARQ_DEFAULT_QUEUE)]


def _merged(
    classes: Sequence[type], said: Sequence[dict[str, Any]], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    queues = list(dict.fromkeys(queue for options in said for queue in _queues_of(options)))
    functions = [_baked(func(one), o) for o in said for one in o.get("functions", ())]
    crons = [
        dataclasses.replace(_baked(Cron.adopt(one), options), queue=_queues_of(options)[0])
        for options in said
        for one in options.get("cron_jobs") or ()
    ]
    refuse_duplicate_names([*functions, *crons])
    merged: dict[str, Any] = {"queues": queues, "functions": functions, "cron_jobs": crons}
    merged["on_startup"] = in_turn(_hooks(said, "on_startup"))
    merged["on_shutdown"] = in_turn(_hooks(said, "on_shutdown"), all_of_them=True)
    done = {*merged, *_BAKED, *overrides, "queue_name"}
    for name in {name for options in said for name in options} - done:
        values = [options.get(name) for options in said]
        same = [_redis_of(options) for options in said] if name == "redis_settings" else values
        if any(one != same[0] for one in same):
            names = " and ".join(sorted({c.__module__ for c in classes}))
            raise UsageError(f"{names} differ in {name}: run them in workers of their own")
        merged[name] = values[0]
    return merged


def _hooks(said: Sequence[Mapping[str, Any]], name: str) -> list[Hook]:
    found = [own_hook(options.get(name)) for options in said]
    return [hook for hook in found if hook is not None]


def _baked(function: T, options: Mapping[str, Any]) -> T:
    """The function with its settings class's defaults written into it."""
    chosen = {
        field: to_seconds(options[option])
        for option, field in _BAKED.items()
        if option in options and getattr(function, field) is None
    }
    return dataclasses.replace(function, **chosen)


def in_turn(hooks: Sequence[Hook], *, all_of_them: bool = False) -> Hook | None:
    """One hook that awaits each different one, in order.

    all_of_them: also those after one that raises; the first error is raised at the end.
    """
    different = list(dict.fromkeys(hooks))
    if len(different) <= 1:
        return different[0] if different else None

    async def each(ctx: dict[Any, Any]) -> None:
        errors: list[Exception] = []
        for hook in different:
            try:
                await hook(ctx)
            except Exception as error:
                if not all_of_them:
                    raise
                errors.append(error)
        if errors:
            raise errors[0]

    return each


async def serve(*workers: Worker) -> bool:
    """Run workers until they are told to stop, or their bursts are over, and close them.

    A signal stops them all, and so does one that fails, whose error is raised. Answers whether
    another burst is due: on several servers bursts end one by one, and the last of them may have
    enqueued for the first.
    """

    def stop() -> None:
        for worker in workers:
            worker.handle_sig_wait_for_completion(Signals.SIGTERM)

    if len(workers) > 1:  # each handles signals, and the last one took them from the others
        for signum in (Signals.SIGINT, Signals.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, stop)
    runs = [asyncio.create_task(worker.async_run()) for worker in workers]
    try:
        ended, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_EXCEPTION)
        for run in ended:
            if not run.cancelled():
                run.result()
        told = not all(worker.allow_pick_jobs for worker in workers)
        return len(workers) > 1 and not told and await _are_left(workers)
    finally:
        for worker, run in zip(workers, runs, strict=True):
            if not run.done():
                worker.handle_sig(Signals.SIGTERM)
        await asyncio.wait(runs)
        await _close(workers)


async def _close(workers: Sequence[Worker]) -> None:
    closing = [worker.close() for worker in workers]
    for error in await asyncio.gather(*closing, return_exceptions=True):
        if error is not None:
            raise error


async def _are_left(workers: Sequence[Worker]) -> bool:
    return any([await one.pool.zcard(queue) for one in workers for queue in one.queues])
