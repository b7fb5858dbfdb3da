"""`EngineSettings`: what `arq module.WorkerSettings` and our own worker are started with."""

import difflib
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar, cast, overload

from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function, func

from jobs.engine.client.pool import Pool
from jobs.engine.definition.job import Body, definition_of, find_job
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
from jobs.engine.worker.worker import Observer, Worker
from jobs.errors import UsageError, as_command_error
from jobs.settings import SettingsError, get_settings, load_settings

logger = logging.getLogger("jobs.worker")

Hook = Callable[[dict[Any, Any]], Awaitable[Any]]
T = TypeVar("T")

_SHOWN_JOBS: Final = 3
_ARQ_WORKER: Final = Worker.__mro__[1]
_OF_ARQ: Final = frozenset(inspect.signature(_ARQ_WORKER).parameters)
_OF_OURS: Final = frozenset(inspect.signature(Worker).parameters) - {"arq_options"}
KNOWN: Final = _OF_ARQ | _OF_OURS | {"redis_url"}
"""What a settings class may say."""


class EngineSettings:
    """The base of a settings class: `class WorkerSettings(EngineSettings): functions = [...]`.

    Attributes are the parameters of arq's Worker, and of ours, which arq leaves alone. They are
    inherited; a name that no worker knows raises UsageError. `redis_url` is a URL, or a function
    that is asked for it when a worker connects, unless TASK_QUEUE_URLS has one for the queue; to
    import a settings class opens and reads nothing, but for a queue named like `lead_queue`:
    whether that is another name of `lead_tasks` is a setting.
    """

    _own: ClassVar[Mapping[str, Any]]
    """What the class itself says, apart from what its bases do,"""
    _given: ClassVar[Mapping[str, Any]]
    """and all of that together, as arq wants it."""

    redis_url: ClassVar[RedisUrl] = configured_url

    # Any, since arq types the context of a job as a plain dict.
    functions: Any = ()
    cron_jobs: Any = None
    on_startup: Any = None
    on_shutdown: Any = None

    job_serializer = staticmethod(serialize)
    job_deserializer = staticmethod(deserialize)
    expires_extra_ms: ClassVar[int] = DEFAULT_EXPIRY_MS
    keep_result: ClassVar[float] = 86_400
    """Seconds, for which a second job of the same id is refused."""
    log_results: ClassVar[bool] = False
    dead_letters: ClassVar[bool] = True
    counters: ClassVar[bool] = True
    requeue_unknown: ClassVar[bool] = True
    observers: ClassVar[Sequence[Observer]] = (OutcomeLog(),)
    on_dead_letter: Any = staticmethod(post_alert)
    health_check_interval: ClassVar[float] = 5
    job_timeout: ClassVar[float] = 60
    """Seconds; for what `@job` says nothing of, such as crons. arq's worker gives the jobs of a
    crashed one back after the longest timeout of all."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _refuse_unknown(cls)
        cls._own = dict(vars(cls))
        said = _said(cls)
        has_queue = "queue_name" in said or "queues" in said
        said |= _served(said)
        queue = said["queue_name"]
        queues = said.get("queues") or [queue]
        found = said.get("redis_settings") or LazyRedisSettings(said["redis_url"])
        if isinstance(found, LazyRedisSettings):
            found = LazyRedisSettings(found.url, queue)
        said["redis_settings"] = found
        said["functions"] = JobFunctions(said["functions"])
        crons = said["cron_jobs"] or ()
        _refuse_shadowed(cls, said["functions"], crons)
        refuse_duplicate_names(crons)
        if has_queue and "<locals>" not in cls.__qualname__:
            LOCAL.list_jobs(said["functions"].given_jobs(), tuple(queues))
        said["on_startup"] = Startup.around(said["on_startup"], queues, said["functions"].names)
        cls._given = said
        for name, value in said.items():
            setattr(cls, name, value)  # arq reads the class's own attributes only


class JobFunctions(Sequence[Function]):
    """A worker's functions for arq, with what `@job` says; made when a worker asks for them, since
    some time limits are settings."""

    def __init__(self, coroutines: Iterable[Function | Body | str]) -> None:
        if isinstance(coroutines, JobFunctions):
            coroutines = coroutines.given
        self.given: list[Function | Body | str] = list(coroutines)
        names = [name for one in self.given for name in names_of(one)]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UsageError(f"functions lists {min(twice)} twice")
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
        for entry in self.given:
            if definition_of(entry) is not None:
                yield from names_of(entry)
            elif not isinstance(entry, Function | str):
                yield entry

    def _made(self) -> list[Function]:
        settings = _read(get_settings)
        made: list[Function] = []
        for one in self.given:
            job = definition_of(one)
            if job is None or isinstance(one, Function | str):
                made.append(func(cast("WorkerCoroutine", one)))
            else:
                made += job.arq_functions(one, settings)
        return made


def _refuse_unknown(cls: type) -> None:
    for name in vars(cls):
        if name.startswith("_") or name in KNOWN:
            continue
        near = difflib.get_close_matches(name, KNOWN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{cls.__module__}.{cls.__qualname__}: no worker knows {name}{hint}")


def _refuse_shadowed(cls: type, functions: "JobFunctions", crons: Iterable[CronJob]) -> None:
    for cron in crons:
        if cron.name in functions.names:
            raise UsageError(
                f"{cls.__module__}.{cls.__qualname__}: the cron {cron.name} would take the place "
                "of the job of that name, and its retries: give the cron another name"
            )


def _said(cls: type) -> dict[str, Any]:
    """What the class and its bases say, the nearest first, as arq wants it: no descriptors."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        own = _own(base)
        for name in own.keys() & KNOWN:
            value = own[name]
            bound = isinstance(value, staticmethod | classmethod)
            found[name] = value.__get__(None, cls) if bound else value
        if "redis_url" in own and base is not EngineSettings:
            found["redis_settings"] = LazyRedisSettings(found["redis_url"])
        for one, other in (("queues", "queue_name"), ("queue_name", "queues")):
            if one in own and other not in own:
                found.pop(other, None)
    return found


def _own(base: type) -> Mapping[str, Any]:
    """What a class says itself, what it was told after it was made included."""
    now = vars(base)
    if "_given" not in now:
        return now
    late = {name: value for name, value in now.items() if now["_given"].get(name) is not value}
    return {**now["_own"], **late}


def _served(said: Mapping[str, Any]) -> dict[str, Any]:
    """The queues; the first of several is the one where only one can be told."""
    given = said.get("queues") or [said.get("queue_name") or ARQ_DEFAULT_QUEUE]
    first = said.get("queue_name") or given[0]
    if first not in given:
        raise UsageError(f"queue_name is {first}, which is not among queues: leave one of them out")
    queues = served_queues(given, _queue_names)
    meant = {"queue_name": served_queues([first], _queue_names)[0]}
    return meant if queues == given else {**meant, "queues": queues}


def _queue_names() -> QueueNames:
    """Not those of `get_settings`: what an import has read would stay."""
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
        # A pool that arq's worker made for itself is named after its queue, which may differ from
        # the class's; one that was passed to it says nothing.
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
    """The hook that a settings class was written with."""
    return hook.hook if isinstance(hook, Startup) else hook
