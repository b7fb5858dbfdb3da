"""`ringline worker`: run the jobs of some queues, in one process or in several."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from typing import Any

import click

from jobs.cli.params import Number
from jobs.cli.resources import settings_of
from jobs.context import DomainSettings
from jobs.embedded import resolve
from jobs.engine import EngineSettings, QueueNames
from jobs.engine.bootstrap.event_loop import run
from jobs.engine.bootstrap.supervisor import Supervisor, announce, command
from jobs.engine.bootstrap.workers import create_workers, in_turn, load, options_of, serve
from jobs.engine.worker.worker import Worker
from jobs.errors import UsageError
from jobs.logs import configure
from jobs.settings import LONGEST, Settings, get_settings
from jobs.store.postgres import migrate

SWITCHED_ON = (
    *("job_serializer", "job_deserializer", "dead_letters", "requeue_unknown"),
    *("counters", "observers"),
)
"""What this command gives a settings class that was written for arq and says nothing of it."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@click.command()
@click.argument("queues")
@click.argument("processes", type=click.IntRange(min=1), default=1)
@click.option("--max-jobs", type=click.IntRange(min=1), help="Jobs at once, in each process.")
@click.option("--burst", is_flag=True, help="Exit when the queues are empty.")
@click.option("--loglevel", type=click.Choice(LEVELS, case_sensitive=False), help="What to log.")
@click.option(
    "--lease",
    type=Number(1, LONGEST),
    help="Seconds after which a silent worker's jobs go to another.",
)
@click.option("--reload", is_flag=True, help="Start anew when a Python file changes.")
@click.option("--ready", type=int, hidden=True, help="Where a child tells its supervisor it runs.")
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
    """Run the jobs of QUEUES, in PROCESSES processes.

    QUEUES are names separated by commas, as in lead_tasks,call_tasks, or `all`; or the path of a
    settings class, as in my_package.WorkerSettings. SIGTERM lets running jobs end, for
    TASK_SHUTDOWN_GRACE seconds, and puts the rest back; a second one does so at once.
    """
    settings = get_settings()
    configure(loglevel or settings.log_level, settings.log_format)
    classes = settings_classes(queues, QueueNames.from_settings(settings))
    if ready is None:
        open_servers(classes, settings)
    if processes > 1 or reload:
        child = command(queues, *child_options(max_jobs, lease, loglevel, burst=burst))
        watched = [Path.cwd()] if reload else []
        supervisor = Supervisor(child, processes, grace_of(classes, settings), burst, watched)
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
    loop = asyncio.get_running_loop()

    def listen() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            loop.remove_reader(sys.stdin)
            for worker in workers:
                worker.handle_sig_wait_for_completion(Signals.SIGTERM)

    loop.add_reader(sys.stdin, listen)


def _announce(workers: Sequence[Worker], ready: int) -> None:
    """Tell the supervisor once all of them run."""
    starting = len(workers)

    async def tell(_: dict[Any, Any]) -> None:
        nonlocal starting
        starting -= 1
        if not starting:
            announce(ready)

    for worker in workers:
        startup = in_turn([hook for hook in (worker.on_startup, tell) if hook])
        worker.on_startup = startup  # type: ignore[assignment]  # arq wants a __qualname__ with it


def grace_of(classes: Sequence[type], settings: Settings) -> float:
    """Seconds that a child's jobs may have to end."""
    said = [options_of(one).get("job_completion_wait") or 0 for one in classes]
    return max(settings.task_shutdown_grace, *said)


def worker_options(
    classes: Sequence[type], settings: Settings, **given: float | None
) -> dict[str, Any]:
    """What the command says, and what the settings say where no settings class does."""
    said = {name for one in classes for name in options_of(one)}
    defaults = {
        "max_jobs": settings.task_max_jobs,
        "lease": settings.task_lease,
        "job_completion_wait": settings.task_shutdown_grace,
        **{name: getattr(EngineSettings, name) for name in SWITCHED_ON},
    }
    options: dict[str, Any] = {k: v for k, v in defaults.items() if k not in said}
    return options | {name: value for name, value in given.items() if value is not None}


def child_options(
    max_jobs: int | None, lease: float | None, loglevel: str | None, *, burst: bool
) -> list[str]:
    """This command's options, for a process of its own."""
    options = [("--max-jobs", max_jobs), ("--lease", lease), ("--loglevel", loglevel)]
    given = [str(word) for option in options if option[1] is not None for word in option]
    return [*given, "--burst"] if burst else given


def open_servers(classes: Sequence[type], settings: Settings) -> None:
    """Start what the domains need of the embedded servers, and bring their database up to date."""
    if not any(issubclass(one, DomainSettings) for one in classes):
        return
    resolve.redis_url(settings, start=True)
    if settings.database_url is None:
        migrate.upgrade(resolve.database_url(settings, start=True))


def settings_classes(queues: str, names: QueueNames) -> list[type]:
    """The settings class of each queue in a list of names, each once. Raises UsageError."""
    known = list(names.all())
    wanted = known if queues == "all" else [name.strip() for name in queues.split(",")]
    classes: list[type] = []
    for name in wanted:
        queue = names.canonical(name)
        if queue in known:
            classes.append(settings_of(queue))
        elif name.startswith("."):
            raise UsageError(f"{name} is relative: write it whole, as in my_package.WorkerSettings")
        elif "." in name:
            sys.path.append(str(Path.cwd()))
            classes.append(load(name))
        else:
            raise UsageError(f"no queue is called {name!r}: there are {', '.join(known)}, and all")
    return list(dict.fromkeys(classes))
