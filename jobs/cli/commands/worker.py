"""`ringline worker`: run the jobs of one or more queues, in one or more processes."""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from typing import Any, Final

import click

from jobs.cli.params import Number
from jobs.cli.resources import configured_classes, find_modules_here, settings_of
from jobs.context import DomainSettings
from jobs.embedded import resolve
from jobs.engine import EngineSettings, QueueNames
from jobs.engine.bootstrap.event_loop import run
from jobs.engine.bootstrap.supervisor import Supervisor, announce, command
from jobs.engine.bootstrap.workers import create_workers, in_turn, options_of, serve
from jobs.engine.queue.names import LOCAL, load, queues_of
from jobs.engine.worker.worker import Worker
from jobs.errors import UsageError
from jobs.logs import configure
from jobs.settings import LONGEST, Settings, get_settings
from jobs.store.postgres import migrate

ENGINE_DEFAULTS: Final = (
    *("job_serializer", "job_deserializer", "dead_letters", "requeue_unknown"),
    *("counters", "observers"),
)
"""Options that this command takes from `EngineSettings` for a settings class written for arq,
unless the class sets them."""
logger = logging.getLogger("jobs.cli")

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@click.command()
@click.argument("queues")
@click.argument("processes", type=click.IntRange(min=1), default=1)
@click.option("--max-jobs", type=click.IntRange(min=1), help="Maximum concurrent jobs per process.")
@click.option("--burst", is_flag=True, help="Exit when the queues are empty.")
@click.option(
    "--loglevel", type=click.Choice(LEVELS, case_sensitive=False), help="Minimum log level."
)
@click.option(
    "--lease",
    type=Number(1, LONGEST),
    help="Lease in seconds: jobs of an unresponsive worker are requeued when it expires.",
)
@click.option("--reload", is_flag=True, help="Restart when a Python file changes.")
@click.option(
    "--ready", type=int, hidden=True, help="File descriptor that reports readiness to a supervisor."
)
def worker(
    queues: str,
    processes: int,
    max_jobs: int | None,
    burst: bool,
    loglevel: str | None,
    lease: float | None,
    reload: bool,
    ready: int | None,
) -> None:
    """Run the jobs of QUEUES in PROCESSES worker processes.

    QUEUES is a comma-separated list of queue names, such as lead_tasks,call_tasks; of paths of
    settings classes, such as my_package.WorkerSettings; and of `all`, which stands for all known
    queues: the built-in ones, and those of the classes in TASK_WORKERS.

    On SIGTERM, running jobs get TASK_SHUTDOWN_GRACE seconds to finish; the rest are requeued. A
    second SIGTERM requeues them at once.
    """
    settings = get_settings()
    configure(loglevel or settings.log_level, settings.log_format)
    classes = settings_classes(queues, settings)
    if ready is None:
        start_servers(classes, settings)
        warn_of_refused_pickles(classes)
    if processes > 1 or reload:
        child = command(queues, *child_options(max_jobs, lease, loglevel, burst=burst))
        watched = [Path.cwd()] if reload else []
        supervisor = Supervisor(child, processes, grace_period(classes, settings), burst, watched)
        raise click.exceptions.Exit(asyncio.run(supervisor.run()))
    options = worker_options(classes, settings, max_jobs=max_jobs, lease=lease)
    run(_serve(classes, ready, burst=burst, **options))


async def _serve(classes: Sequence[type], ready: int | None, **options: Any) -> None:
    has_supervisor = ready is not None
    again = True
    while again:
        workers = create_workers(*classes, **options)
        if has_supervisor:
            _stop_with_supervisor(workers)
        if ready is not None:
            _announce(workers, ready)
            ready = None
        again = await serve(*workers)


def _stop_with_supervisor(workers: Sequence[Worker]) -> None:
    """Stop the workers when the supervisor's end of stdin closes."""
    loop = asyncio.get_running_loop()

    def listen() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            loop.remove_reader(sys.stdin)
            for worker in workers:
                worker.handle_sig_wait_for_completion(Signals.SIGTERM)

    loop.add_reader(sys.stdin, listen)


def _announce(workers: Sequence[Worker], ready: int) -> None:
    """Notify the supervisor when all workers have started."""
    starting = len(workers)

    async def started(_: dict[Any, Any]) -> None:
        nonlocal starting
        starting -= 1
        if not starting:
            announce(ready)

    for worker in workers:
        startup = in_turn([hook for hook in (worker.on_startup, started) if hook])
        worker.on_startup = startup  # type: ignore[assignment]  # arq's type requires a __qualname__


def grace_period(classes: Sequence[type], settings: Settings) -> float:
    """Return the time that a child's running jobs get to finish.

    Args:
        classes: Settings classes that the child runs.
        settings: Source of the default, TASK_SHUTDOWN_GRACE.

    Returns:
        Seconds: the longest of the default and each class's `job_completion_wait`.
    """
    waits = [options_of(cls).get("job_completion_wait") or 0 for cls in classes]
    return max(settings.task_shutdown_grace, *waits)


def worker_options(
    classes: Sequence[type], settings: Settings, **overrides: float | None
) -> dict[str, Any]:
    """Return the options of this command's workers.

    Args:
        classes: Settings classes; an option that any of them sets keeps the class's value.
        settings: Source of the defaults for options that no class sets.
        overrides: Options from the command line, which win; None means not given.

    Returns:
        Keyword arguments for `create_workers`.
    """
    set_by_class = {name for cls in classes for name in options_of(cls)}
    defaults = {
        "max_jobs": settings.task_max_jobs,
        "lease": settings.task_lease,
        "job_completion_wait": settings.task_shutdown_grace,
        **{name: getattr(EngineSettings, name) for name in ENGINE_DEFAULTS},
    }
    options: dict[str, Any] = {
        name: value for name, value in defaults.items() if name not in set_by_class
    }
    return options | {name: value for name, value in overrides.items() if value is not None}


def warn_of_refused_pickles(classes: Sequence[type]) -> None:
    """Log a warning for each settings class that would pickle under arq's worker.

    Args:
        classes: Settings classes to run. This command reads only JSON unless a class says more.
    """
    for cls in classes:
        if "job_deserializer" not in options_of(cls):
            logger.warning(
                "reading only JSON: pickles of arq's producers become dead letters, unless %s sets "
                "job_deserializer (see docs/migrating-from-arq.md)",
                f"{cls.__module__}.{cls.__qualname__}",
            )


def child_options(
    max_jobs: int | None, lease: float | None, loglevel: str | None, *, burst: bool
) -> list[str]:
    """Return this command's options as arguments for a child process.

    Args:
        max_jobs: Maximum concurrent jobs, if given.
        lease: Lease in seconds, if given.
        loglevel: Minimum log level, if given.
        burst: Exit when the queues are empty.

    Returns:
        Command-line arguments.
    """
    options = [("--max-jobs", max_jobs), ("--lease", lease), ("--loglevel", loglevel)]
    arguments = [str(word) for option in options if option[1] is not None for word in option]
    return [*arguments, "--burst"] if burst else arguments


def start_servers(classes: Sequence[type], settings: Settings) -> None:
    """Start the embedded servers that built-in domains need, and migrate the embedded database.

    Args:
        classes: Settings classes to run. Classes outside the built-in domains need no servers.
        settings: Server URLs; a configured server is used as it is.

    Raises:
        ServerError: An embedded server cannot be started.
    """
    if not any(issubclass(cls, DomainSettings) for cls in classes):
        return
    resolve.redis_url(settings, start=True)
    if settings.database_url is None:
        migrate.upgrade(resolve.database_url(settings, start=True))


def settings_classes(queues: str, settings: Settings) -> list[type]:
    """Return the settings classes for a list of queues.

    Args:
        queues: Comma-separated names of queues, paths of classes, and `all`.
        settings: Source of TASK_WORKERS and of the names of queues.

    Returns:
        The settings classes without repetitions, in the order of the list.

    Raises:
        UsageError: A name is neither a known queue nor the path of a class.
    """
    configured = configured_classes()
    names = QueueNames.from_settings(settings)
    known = list(names.all())
    classes: list[type] = []
    for name in map(str.strip, queues.split(",")):
        queue = names.canonical(name)
        if name == "all":
            for each in known:
                classes += _classes_of(each, configured)
        elif queue in known:
            classes += _classes_of(queue, configured)
        elif name.startswith("."):
            raise UsageError(
                f"{name} is a relative path: write it in full, such as my_package.WorkerSettings"
            )
        elif "." in name:
            classes.append(_load(name))
        else:
            raise UsageError(f"unknown queue {name!r}: known queues are {', '.join(known)}, or all")
    return list(dict.fromkeys(classes))


def _classes_of(queue: str, configured: Sequence[type]) -> list[type]:
    """Return the classes that serve a queue; a class of yours may share a built-in queue."""
    own = [cls for cls in configured if queue in queues_of(cls)]
    try:
        return [settings_of(queue), *own]
    except UsageError:
        if own:
            return own
        raise


def _load(path: str) -> type:
    find_modules_here()
    cls = load(path)
    LOCAL.give(cls)
    return cls
