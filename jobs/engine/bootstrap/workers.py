"""Workers from settings classes: one worker per Redis server, for one or several classes."""

import asyncio
import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from signal import Signals
from typing import Any, Final, TypeVar

from arq.utils import to_seconds
from arq.worker import Function, func

from jobs.engine.bootstrap.worker_settings import Startup, own_hook
from jobs.engine.queue.keys import ARQ_DEFAULT_QUEUE
from jobs.engine.queue.names import job_names
from jobs.engine.queue.servers import LazyRedisSettings, resolve
from jobs.engine.scheduling.cron import Cron, refuse_duplicate_names
from jobs.engine.worker.options import Hook
from jobs.engine.worker.worker import Worker
from jobs.errors import UsageError

T = TypeVar("T", Function, Cron)

_PARAMETERS: Final = frozenset(inspect.signature(Worker).parameters)
_FUNCTION_DEFAULTS: Final = {
    "job_timeout": "timeout_s",
    "keep_result": "keep_result_s",
    "keep_result_forever": "keep_result_forever",
    "max_tries": "max_tries",
}
"""Options that are defaults of functions. Written into each function, they may differ by class."""


def options_of(settings: type) -> dict[str, Any]:
    """Return the options of a settings class and its bases, as a worker takes them."""
    options: dict[str, Any] = {}
    for base in reversed(settings.__mro__):
        options |= {name: value for name, value in vars(base).items() if name in _PARAMETERS}
    return {
        name: value.__func__ if isinstance(value, staticmethod) else value
        for name, value in options.items()
    }


def create_worker(*classes: type, **overrides: Any) -> Worker:
    """Return one worker for the queues of several settings classes.

    Hooks that the classes share run once.

    Args:
        classes: The settings classes; all on one Redis.
        overrides: Options of the worker that override the classes.

    Raises:
        UsageError: The classes differ in an option that is not among `overrides`.
    """
    by_class = [options_of(settings) for settings in classes]
    options = by_class[0] if len(by_class) == 1 else _merged(classes, by_class, overrides)
    jobs = [name for cls in classes for name in job_names(cls)]
    startup = Startup.around(options.get("on_startup"), _queues_of(options | overrides), jobs)
    parameters: dict[str, Any] = {**options, "on_startup": startup, **overrides}
    return Worker(**parameters)


def create_workers(*classes: type, **overrides: Any) -> list[Worker]:
    """Return one worker per Redis server of the settings classes.

    Args:
        classes: The settings classes.
        overrides: Options of the workers that override the classes.

    Raises:
        UsageError: Classes on one server differ in an option that is not among `overrides`.
    """
    by_redis: dict[str, list[type]] = {}
    for settings in classes:
        by_redis.setdefault(_redis_of(options_of(settings)), []).append(settings)
    return [create_worker(*group, **overrides) for group in by_redis.values()]


def _redis_of(options: Mapping[str, Any]) -> str:
    """Return a key that is the same for all classes on one Redis.

    Raises:
        UsageError: The queues of one class are on several servers.
    """
    found = options.get("redis_settings")
    if not isinstance(found, LazyRedisSettings):
        return repr(found)
    url, queues = found.resolve(), options.get("queues") or ()
    if any(resolve(found.url, queue) != url for queue in queues):
        raise UsageError(
            f"{' and '.join(queues)} are on different servers: write one settings class per server"
        )
    return url


def _queues_of(options: Mapping[str, Any]) -> Sequence[str]:
    return options.get("queues") or [options.get("queue_name", ARQ_DEFAULT_QUEUE)]


def _merged(
    classes: Sequence[type], by_class: Sequence[dict[str, Any]], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    queues = list(dict.fromkeys(queue for options in by_class for queue in _queues_of(options)))
    functions = [
        _with_defaults(func(function), options)
        for options in by_class
        for function in options.get("functions", ())
    ]
    crons = [
        dataclasses.replace(_with_defaults(Cron.adopt(cron), options), queue=_queues_of(options)[0])
        for options in by_class
        for cron in options.get("cron_jobs") or ()
    ]
    refuse_duplicate_names([*functions, *crons])
    merged: dict[str, Any] = {"queues": queues, "functions": functions, "cron_jobs": crons}
    merged["on_startup"] = in_turn(_hooks(by_class, "on_startup"))
    merged["on_shutdown"] = in_turn(_hooks(by_class, "on_shutdown"), all_of_them=True)
    done = {*merged, *_FUNCTION_DEFAULTS, *overrides, "queue_name"}
    for name in {name for options in by_class for name in options} - done:
        values = [options.get(name) for options in by_class]
        is_redis = name == "redis_settings"
        comparable = [_redis_of(options) for options in by_class] if is_redis else values
        if any(value != comparable[0] for value in comparable):
            names = " and ".join(sorted({c.__module__ for c in classes}))
            raise UsageError(f"{names} differ in {name}: run them in separate workers")
        merged[name] = values[0]
    return merged


def _hooks(by_class: Sequence[Mapping[str, Any]], name: str) -> list[Hook]:
    hooks = [own_hook(options.get(name)) for options in by_class]
    return [hook for hook in hooks if hook is not None]


def _with_defaults(function: T, options: Mapping[str, Any]) -> T:
    """Return a function with the defaults of its settings class."""
    defaults = {
        field: to_seconds(options[option])
        for option, field in _FUNCTION_DEFAULTS.items()
        if option in options and getattr(function, field) is None
    }
    return dataclasses.replace(function, **defaults)


def in_turn(hooks: Sequence[Hook], *, all_of_them: bool = False) -> Hook | None:
    """Return one hook that awaits each different hook, in order.

    Args:
        hooks: The hooks.
        all_of_them: Also call the hooks after one that raises, and raise the first error at the
            end.
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
    """Run workers until they are stopped or their bursts are over, and close them.

    A signal stops all workers. If one worker fails, the others stop, and its error is raised.

    Returns:
        Whether another burst is due: on several servers bursts end one by one, and the last one may
        have enqueued jobs for the first.
    """

    def stop() -> None:
        for worker in workers:
            worker.handle_sig_wait_for_completion(Signals.SIGTERM)

    if len(workers) > 1:  # the worker made last has taken the signals from the others
        for signum in (Signals.SIGINT, Signals.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, stop)
    runs = [asyncio.create_task(worker.async_run()) for worker in workers]
    try:
        ended, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_EXCEPTION)
        for run in ended:
            if not run.cancelled():
                run.result()
        stopped = not all(worker.allow_pick_jobs for worker in workers)
        return len(workers) > 1 and not stopped and await _are_left(workers)
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
    return any([await worker.pool.zcard(queue) for worker in workers for queue in worker.queues])
