"""`EngineSettings`: the base of settings classes, for the `arq` command and for our worker."""

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar, cast, overload

from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function, func

from jobs.engine.client.pool import Pool
from jobs.engine.definition.arguments import Body
from jobs.engine.definition.job import definition_of, find_job
from jobs.engine.monitoring.alerts import post_alert
from jobs.engine.monitoring.log_masking import mask_logs_of_worker
from jobs.engine.monitoring.outcome_log import OutcomeLog
from jobs.engine.queue.keys import ARQ_DEFAULT_QUEUE
from jobs.engine.queue.names import (
    DEFAULT_EXPIRY_MS,
    LOCAL,
    QueueNames,
    names_of,
    served_queues,
)
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.engine.queue.servers import LazyRedisSettings, RedisUrl, configured_url
from jobs.engine.scheduling.cron import refuse_duplicate_names
from jobs.engine.worker.options import Hook, Observer
from jobs.engine.worker.worker import Worker
from jobs.errors import UsageError, as_command_error
from jobs.settings import SettingsError, get_settings, load_settings

logger = logging.getLogger("jobs.worker")

T = TypeVar("T")

_SHOWN_JOBS: Final = 3
_ARQ_WORKER: Final = Worker.__mro__[1]
_ARQ_PARAMETERS: Final = frozenset(inspect.signature(_ARQ_WORKER).parameters)
_OUR_PARAMETERS: Final = frozenset(inspect.signature(Worker).parameters) - {"arq_options"}
KNOWN: Final = _ARQ_PARAMETERS | _OUR_PARAMETERS | {"redis_url"}
"""The attributes that a settings class may set."""


class EngineSettings:
    """The base of a settings class: `class WorkerSettings(EngineSettings): functions = [...]`.

    Attributes are the parameters of arq's Worker and of ours; arq ignores the latter. They are
    inherited, and an unknown name raises UsageError.

    `redis_url` is a URL, or a function that returns it when a worker connects. TASK_QUEUE_URLS
    overrides the function. Importing a settings class opens nothing and reads no settings, except
    for a queue named like `lead_queue`: a setting decides whether that is an alias of `lead_tasks`.
    """

    _own: ClassVar[Mapping[str, Any]]
    """The attributes of the class itself,"""
    _flattened: ClassVar[Mapping[str, Any]]
    """and those of the class and its bases, as arq takes them."""

    redis_url: ClassVar[RedisUrl] = configured_url

    # Any, because arq types the context of a job as a plain dict.
    functions: Any = ()
    cron_jobs: Any = None
    on_startup: Any = None
    on_shutdown: Any = None

    job_serializer = staticmethod(serialize)
    job_deserializer = staticmethod(deserialize)
    expires_extra_ms: ClassVar[int] = DEFAULT_EXPIRY_MS
    keep_result: ClassVar[float] = 86_400
    """Seconds for which a result is kept, and a second job with its id refused."""
    log_results: ClassVar[bool] = False
    dead_letters: ClassVar[bool] = True
    counters: ClassVar[bool] = True
    requeue_unknown: ClassVar[bool] = True
    observers: ClassVar[Sequence[Observer]] = (OutcomeLog(),)
    on_dead_letter: Any = staticmethod(post_alert)
    health_check_interval: ClassVar[float] = 5
    job_timeout: ClassVar[float] = 60
    """Seconds; for functions without `@job`, such as crons. arq's worker recovers the jobs of a
    crashed worker after the longest timeout of all functions."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _refuse_unknown(cls)
        cls._own = dict(vars(cls))
        options = _options(cls)
        has_queue = "queue_name" in options or "queues" in options
        options |= _queues(options)
        queue = options["queue_name"]
        queues = options.get("queues") or [queue]
        found = options.get("redis_settings") or LazyRedisSettings(options["redis_url"])
        if isinstance(found, LazyRedisSettings):
            found = LazyRedisSettings(found.url, queue)
        options["redis_settings"] = found
        options["functions"] = JobFunctions(options["functions"])
        crons = options["cron_jobs"] or ()
        _refuse_shadowed(cls, options["functions"], crons)
        refuse_duplicate_names(crons)
        if has_queue and "<locals>" not in cls.__qualname__:
            LOCAL.list_jobs(options["functions"].given_jobs(), tuple(queues))
        names = options["functions"].names
        options["on_startup"] = Startup.around(options["on_startup"], queues, names)
        cls._flattened = options
        for name, value in options.items():
            setattr(cls, name, value)  # arq ignores inherited attributes


class JobFunctions(Sequence[Function]):
    """A worker's functions for arq, with the options of `@job`.

    arq's entries are made when a worker reads them, because some time limits are settings.
    """

    def __init__(self, coroutines: Iterable[Function | Body | str]) -> None:
        if isinstance(coroutines, JobFunctions):
            coroutines = coroutines.functions
        self.functions: list[Function | Body | str] = list(coroutines)
        names = [name for function in self.functions for name in names_of(function)]
        duplicates = {name for name in names if names.count(name) > 1}
        if duplicates:
            raise UsageError(f"functions lists {min(duplicates)} twice")
        self.names = frozenset(names)

    @overload
    def __getitem__(self, index: int) -> Function: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Function]: ...
    def __getitem__(self, index: int | slice) -> Function | Sequence[Function]:
        return self._made()[index]

    def __iter__(self) -> Iterator[Function]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self.names)

    def given_jobs(self) -> Iterator[object]:
        """Yield the names of jobs; of other functions the function itself, since their names are
        not unique among modules."""
        for entry in self.functions:
            if definition_of(entry) is not None:
                yield from names_of(entry)
            elif not isinstance(entry, Function | str):
                yield entry

    def _made(self) -> list[Function]:
        settings = _read(get_settings)
        made: list[Function] = []
        for function in self.functions:
            job = definition_of(function)
            if job is None or isinstance(function, Function | str):
                made.append(func(cast("WorkerCoroutine", function)))
            else:
                made += job.arq_functions(function, settings)
        return made


def _refuse_unknown(cls: type) -> None:
    for name in vars(cls):
        if name.startswith("_") or name in KNOWN:
            continue
        near = difflib.get_close_matches(name, KNOWN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{cls.__module__}.{cls.__qualname__}: unknown option {name}{hint}")


def _refuse_shadowed(cls: type, functions: "JobFunctions", crons: Iterable[CronJob]) -> None:
    for cron in crons:
        if cron.name in functions.names:
            raise UsageError(
                f"{cls.__module__}.{cls.__qualname__}: the cron {cron.name} would replace the job "
                "of that name and its retries: rename the cron"
            )


def _options(cls: type) -> dict[str, Any]:
    """Return the options of a class and its bases, the nearest first, without descriptors."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        own = _own(base)
        for name in own.keys() & KNOWN:
            value = own[name]
            bound = isinstance(value, staticmethod | classmethod)
            found[name] = value.__get__(None, cls) if bound else value
        if "redis_url" in own and base is not EngineSettings:
            found["redis_settings"] = LazyRedisSettings(found["redis_url"])
        for name, other in (("queues", "queue_name"), ("queue_name", "queues")):
            if name in own and other not in own:
                found.pop(other, None)
    return found


def _own(base: type) -> Mapping[str, Any]:
    """Return the attributes of a class itself, those set after its creation included."""
    now = vars(base)
    if "_flattened" not in now:
        return now
    late = {name: value for name, value in now.items() if now["_flattened"].get(name) is not value}
    return {**now["_own"], **late}


def _queues(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for the queues. arq's worker serves the first of several."""
    named = options.get("queues") or [options.get("queue_name") or ARQ_DEFAULT_QUEUE]
    first = options.get("queue_name") or named[0]
    if first not in named:
        raise UsageError(f"queue_name {first} is not among queues: set only one of the two")
    queues = served_queues(named, _queue_names)
    canonical = {"queue_name": served_queues([first], _queue_names)[0]}
    return canonical if queues == named else {**canonical, "queues": queues}


def _queue_names() -> QueueNames:
    """Return the current queue names, not those of `get_settings`: an import must cache nothing."""
    return QueueNames.from_settings(_read(load_settings))


def _read(read: Callable[[], T]) -> T:
    try:
        return read()
    except (SettingsError, UsageError) as error:
        raise as_command_error(error, exit_code=2) from error


@dataclass(frozen=True, slots=True)
class Startup:
    """Start hook of a worker: masks its logs, warns of jobs that are enqueued elsewhere, puts its
    queue into the context, then runs the hook of the settings class.

    Attributes:
        hook: Hook of the settings class.
        queues: Queues that the worker serves.
        jobs: Names of its jobs.
    """

    hook: Hook | None
    queues: tuple[str, ...]
    jobs: tuple[str, ...]

    @classmethod
    def around(cls, hook: Hook | None, queues: Sequence[str], jobs: Iterable[str]) -> "Startup":
        """Return a start hook that ends with `hook`, which may be a start hook itself."""
        return cls(own_hook(hook), tuple(queues), tuple(jobs))

    async def __call__(self, ctx: dict[Any, Any]) -> None:
        mask_logs_of_worker()
        warn_of_unserved(self.jobs, self.queues)
        redis: ArqRedis = ctx["redis"]
        # The default queue of a pool that arq's worker made is the worker's, which may differ from
        # the class's. The default queue of a pool that was passed to it means nothing.
        passed = isinstance(redis, Pool) or redis.default_queue_name == ARQ_DEFAULT_QUEUE
        ctx["queue"] = self.queues[0] if passed else redis.default_queue_name
        if self.hook is not None:
            await self.hook(ctx)


def warn_of_unserved(jobs: Iterable[str], queues: Sequence[str]) -> None:
    """Log a warning about jobs that other processes enqueue in queues that a worker does not serve.

    Args:
        jobs: Names of the worker's jobs.
        queues: Queues that the worker serves.
    """
    names = _read(QueueNames.discover).without_local()
    elsewhere: dict[str, list[str]] = {}
    for name in sorted(jobs):
        definition = find_job(name)
        own = None if definition is None else definition.queue
        queue = names.of_job(name) if own is None else names.canonical(own)
        if queue not in queues:
            elsewhere.setdefault(queue, []).append(name)
    for queue, unserved in elsewhere.items():
        more = len(unserved) - _SHOWN_JOBS
        logger.warning(
            "jobs enqueued by name go to a queue that this worker does not serve jobs=%s queue=%s "
            "served=%s: set TASK_WORKERS to its settings class in all processes, or "
            "@job(queue=...) to a served queue",
            ",".join(unserved[:_SHOWN_JOBS]) + (f" and {more} more" * (more > 0)),
            queue,
            ",".join(queues),
        )


def own_hook(hook: Hook | None) -> Hook | None:
    """Return the hook that the author of a settings class wrote."""
    return hook.hook if isinstance(hook, Startup) else hook
