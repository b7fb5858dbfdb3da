"""Names: the queue of each job, and the settings classes that a process is given.

A producer needs no import: the name of a job determines its queue. The settings class that lists
the job decides, else the prefix of the name. A process learns of settings classes in three ways:
TASK_WORKERS names them, the command line names them, or the program imports them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Final

from arq.worker import Function

from jobs.engine.queue.keys import ARQ_DEFAULT_QUEUE
from jobs.errors import UsageError
from jobs.settings import Settings, get_settings

DEFAULT_EXPIRY_MS: Final = 30 * 86_400_000
"""Milliseconds that a job is kept after it is due; arq keeps it for a day."""


class KnownClasses:
    """Settings classes, and the queues of the jobs that they list.

    Attributes:
        classes: The classes that the process was given, in order.
    """

    def __init__(self) -> None:
        self.classes: list[type] = []
        self._queues: dict[object, list[Sequence[str]]] = {}

    def give(self, cls: type) -> None:
        """Add a class that the process was given: its queues and the names of its jobs."""
        if cls not in self.classes:
            self.classes.append(cls)
            self.list_jobs(job_names(cls), queues_of(cls))

    def list_jobs(self, jobs: Iterable[object], queues: Sequence[str]) -> None:
        """Add jobs of one settings class.

        Args:
            jobs: Names of jobs, or functions.
            queues: Queues of the class; jobs are enqueued in the first of them.
        """
        for job in jobs:
            known = self._queues.setdefault(job, [])
            if queues not in known:
                known.append(queues)

    def queue_of(self, job: object, implied: str | None = None) -> str | None:
        """Return the queue of a job.

        Args:
            job: Name of the job, or its function.
            implied: Queue that the prefix of the name implies; it wins if a class serves it.

        Returns:
            The queue, or None if no class lists the job, or several in different queues.
        """
        known = self._queues.get(job, ())
        if any(implied in queues for queues in known):
            return implied
        first = {queues[0] for queues in known}
        return first.pop() if len(first) == 1 else None

    def queues(self) -> Iterable[str]:
        """Return the queues of the classes that the process was given."""
        return [queue for cls in self.classes for queue in queues_of(cls)]


LOCAL: Final = KnownClasses()
"""Classes that only this process knows, by its command line or by an import."""
_configured: Final[dict[tuple[str, ...], KnownClasses]] = {}
"""Classes that TASK_WORKERS names, by its value: the same for all processes with these settings."""


@dataclass(frozen=True, slots=True)
class QueueNames:
    """Rule that gives the queue of a job by its name.

    Attributes:
        domains: Prefixes with a queue: with `lead`, the job `lead.qualify` goes to `lead_tasks`.
        default: Queue of all other jobs.
        known: Settings classes, which take precedence over the prefixes; the first one wins.
    """

    domains: frozenset[str] = field(default_factory=frozenset)
    default: str = "default"
    known: tuple[KnownClasses, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> "QueueNames":
        """Return the rule of this process, without importing the classes of TASK_WORKERS."""
        settings = settings or get_settings()
        configured = _configured.get(settings.task_workers, KnownClasses())
        domains = frozenset(settings.task_domains)
        return cls(domains, settings.task_default_queue, (configured, LOCAL))

    @classmethod
    def discover(cls, settings: Settings | None = None) -> "QueueNames":
        """Import the classes of TASK_WORKERS and return the rule of this process.

        Raises:
            UsageError: A path of TASK_WORKERS is bad.
        """
        settings = settings or get_settings()
        load_configured(settings)
        return cls.from_settings(settings)

    def without_local(self) -> "QueueNames":
        """Return the rule of another process with the same settings."""
        return replace(self, known=tuple(known for known in self.known if known is not LOCAL))

    def of_job(self, name: str) -> str:
        """Return the queue of a job by its name."""
        prefix, dot, _ = name.partition(".")
        implied = f"{prefix}_tasks" if dot and prefix in self.domains else self.default
        for known in self.known:
            queue = known.queue_of(name, implied)
            if queue is not None:
                return queue
        return implied

    def canonical(self, queue: str) -> str:
        """Return the queue that a name stands for: `lead_queue` is an alias of `lead_tasks`."""
        prefix = queue.removesuffix("_queue")
        return f"{prefix}_tasks" if prefix != queue and prefix in self.domains else queue

    def all(self) -> Iterable[str]:
        """Return the queues of the domains, the default queue, and those of the given classes."""
        queues = [*(f"{domain}_tasks" for domain in sorted(self.domains)), self.default]
        for known in self.known:
            queues += map(self.canonical, known.queues())
        return list(dict.fromkeys(queues))


def served_queues(
    queues: Iterable[str], names: Callable[[], QueueNames] = QueueNames.from_settings
) -> list[str]:
    """Return the queues that a worker serves: those that the names stand for, and of the very
    names, since an unmodified arq pool enqueues in the queue that it is given.

    Args:
        queues: Names of queues.
        names: Returns the aliases; called only if a name may be an alias.
    """
    given = list(queues)
    if not any(queue.endswith("_queue") for queue in given):
        return given
    canonical = names().canonical
    return list(dict.fromkeys(name for queue in given for name in (canonical(queue), queue)))


def load(path: str) -> type:
    """Import a settings class.

    Args:
        path: Path of the class, such as `package.module.WorkerSettings`.

    Raises:
        UsageError: The path is bad, or the import fails. The message is one line.
    """
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # whatever the module raises
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{path} cannot be imported: {reason}") from error
    if not isinstance(found, type):
        raise UsageError(f"{path} is not a settings class")
    return found


def load_configured(settings: Settings) -> list[type]:
    """Import the classes of TASK_WORKERS, once.

    Returns:
        The classes, in order.

    Raises:
        UsageError: A path is bad, or an import fails. The message is one line.
    """
    paths = settings.task_workers
    if paths not in _configured:
        known = KnownClasses()
        for path in paths:
            try:
                known.give(load(path))
            except UsageError as error:
                raise UsageError(f"TASK_WORKERS: {error}") from error
        _configured[paths] = known
    return _configured[paths].classes


def queues_of(cls: Any) -> Sequence[str]:
    """Return the queues of a settings class, ours or arq's."""
    several = getattr(cls, "queues", None)
    return several or (getattr(cls, "queue_name", None) or ARQ_DEFAULT_QUEUE,)


def job_names(cls: Any) -> Iterable[str]:
    """Return the names of the jobs that a settings class lists, aliases included."""
    functions = getattr(cls, "functions", None) or ()
    names: Iterable[str] | None = getattr(functions, "names", None)
    return [name for one in functions for name in names_of(one)] if names is None else names


def names_of(function: Any) -> Sequence[str]:
    """Return the names of an entry of `functions`: a job, a coroutine function, a path, or arq's
    `Function`."""
    definition = getattr(function, "__job__", None)
    if definition is not None:
        return (definition.name, *definition.aliases)
    if isinstance(function, str):
        return (function,)
    return (function.name if isinstance(function, Function) else function.__qualname__,)
