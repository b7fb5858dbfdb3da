"""Schedules: each fire time enqueues one job, over any number and kind of workers."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache, wraps
from typing import Any, Final, Literal, cast

from arq.cron import CronJob
from arq.typing import OptionType, SecondsTimedelta, WeekdayOptionType, WorkerCoroutine
from arq.utils import to_seconds, to_unix_ms
from arq.worker import Function

from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.definition.job import definition_of
from jobs.engine.queue.keys import CRON, CRON_RAN
from jobs.engine.queue.scripts import NOTE_CRON_RUN
from jobs.engine.scheduling.times import FireTimes
from jobs.engine.scheduling.timezones import named_zone
from jobs.errors import UsageError

Missed = Literal["skip", "once", "all"]
CronFunction = Callable[[Any], Coroutine[Any, Any, Any]]
"""A job function, or a plain coroutine function as in arq: called with the context alone."""

OUTAGE_DELAY: Final = 0.5
"""Seconds between two attempts to enqueue during an outage; the cron's timeout ends them."""
_RUNS_KEPT_MS: Final = 30 * 86_400_000


@dataclass
class Cron(CronJob):
    """A schedule, which arq's workers accept, too.

    Attributes:
        times: The fire times; None for arq's fields.
        zone: The IANA zone of the fire times; None for the worker's.
        missed: The treatment of fire times at which no worker ran.
        queue: The queue of the job; None for the worker's first.
        remembered: Keep the last fire time in Redis.
        real_time: Follow the system clock instead of the worker's.
    """

    times: FireTimes | None = None
    zone: tzinfo | None = None
    missed: Missed = "skip"
    queue: str | None = None
    remembered: bool = False
    real_time: bool = False

    @classmethod
    def adopt(cls, cron: CronJob) -> "Cron":
        """Return arq's schedule as ours, which handles clock changes."""
        return cron if isinstance(cron, cls) else cls(**vars(cron))

    @property
    def fire_times(self) -> FireTimes:
        """The fire times, from `times` or from arq's fields."""
        if self.times is None:
            self.times = FireTimes.from_fields(self)
        return self.times

    @property
    def identity(self) -> str:
        """The name and times of the schedule: with other times it is another schedule."""
        times = self.fire_times
        seconds = ",".join(map(str, times.seconds)) if len(times.seconds) < 60 else "*"
        days = "" if times.weekdays is None else f"+{sorted(times.weekdays)}"
        return f"{self.name}@{seconds} {times.minutes}{days} {self.zone or ''}".rstrip()

    def calculate_next(self, prev_run: datetime) -> None:
        """Set `next_run` for arq's worker, which passes a time in its zone."""
        self.next_run = self.next_fire_time(prev_run, prev_run.tzinfo or UTC)

    def next_fire_time(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the first fire time after `moment`, in UTC.

        Args:
            moment: An aware time.
            zone: The worker's zone, for schedules without one.
        """
        return next(self.fire_times.after(moment, self.zone or zone))

    def previous_fire_time(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """Return the last fire time up to `moment`, in UTC; None if there was none for years."""
        return self.fire_times.last(moment, self.zone or zone)

    def job_id_at(self, fire_time: datetime) -> str | None:
        """Return arq's job id, by which workers of both kinds enqueue a fire time once."""
        if self.job_id is not None:
            return self.job_id
        return f"{self.name}:{to_unix_ms(fire_time)}" if self.unique else None


def cron(
    job: str | CronFunction,
    *,
    expression: str | None = None,
    timezone: str | None = None,
    missed: Missed = "skip",
    real_time: bool = False,
    alone: bool = False,
    name: str | None = None,
    month: OptionType = None,
    day: OptionType = None,
    weekday: WeekdayOptionType = None,
    hour: OptionType = None,
    minute: OptionType = None,
    second: OptionType = 0,
    microsecond: int = 123_456,
    run_at_startup: bool = False,
    unique: bool = True,
    job_id: str | None = None,
    timeout: SecondsTimedelta | None = None,
    keep_result: SecondsTimedelta | None = 0,
    keep_result_forever: bool | None = False,
    max_tries: int | None = 1,
) -> Cron:
    """Return a schedule for `cron_jobs`.

    `cron("campaign.tick")` enqueues the job of that name every minute; so does the job's function.
    A plain coroutine function, without `@job`, is run by the cron itself, as in arq.

    A schedule that lags behind, or that a fast clock outruns, fires its latest fire time, at most
    four times a second, unless `missed` is "all".

    Args:
        job: The name of a job, its function, or a plain coroutine function.
        expression: A cron expression such as `*/15 * * * *`, instead of arq's fields.
        timezone: An IANA zone; by default the worker's.
        missed: The treatment of fire times at which no worker ran: "skip" them, run "once" for all
            of them, or run "all".
        real_time: Follow the system clock, for the upkeep of machines.
        alone: Enqueue nothing while the job of an earlier fire time waits or runs. The job must
            keep no result, which would hold its id.
        name: The name of the schedule; by default `cron:` and the job's name.
        month: arq's field; None for every month. Likewise day, weekday, hour, minute and second.
        day: arq's field.
        weekday: arq's field.
        hour: arq's field.
        minute: arq's field.
        second: arq's field.
        microsecond: arq's field.
        run_at_startup: Fire once when a worker process starts, in each process. Give the schedule
            a `job_id` to run it once per fleet start.
        unique: Enqueue each fire time once, over all workers.
        job_id: The job's id instead of arq's `name:ms`.
        timeout: Seconds that the cron itself may take.
        keep_result: Seconds for which the cron's own result is kept.
        keep_result_forever: Keep the cron's own result without expiry.
        max_tries: Executions of the cron itself.

    Raises:
        UsageError: The times are invalid or never come, or options contradict each other.
    """
    job_name = _job_name(job)
    if job_name is not None:
        only_id = f"only:{job_name}" if alone else None
        coroutine = _enqueuing(job_name, name, only_id, job_id is not None)
    elif alone:
        raise UsageError("cron: alone=True is for jobs: pass a job's name or a function with @job")
    else:
        coroutine = cast("WorkerCoroutine", job)  # arq passes the context and nothing else
    if missed != "skip" and not unique:
        raise UsageError(
            f"cron: missed={missed!r} needs the ids of the fire times, not unique=False"
        )
    if expression is not None and any(f is not None for f in (month, day, weekday, hour, minute)):
        raise UsageError(
            f"cron: give either an expression or arq's fields, not both ({expression!r})"
        )
    schedule = Cron(
        name=name or f"cron:{coroutine.__qualname__}",
        coroutine=coroutine,
        month=month,
        day=day,
        weekday=weekday,
        hour=hour,
        minute=minute,
        second=second,
        microsecond=microsecond,
        run_at_startup=run_at_startup,
        unique=unique,
        job_id=job_id,
        timeout_s=to_seconds(timeout),
        keep_result_s=to_seconds(keep_result),
        keep_result_forever=keep_result_forever,
        max_tries=max_tries,
        times=None if expression is None else FireTimes.from_expression(expression, microsecond),
        zone=named_zone(timezone),
        missed=missed,
        remembered=True,
        real_time=real_time,
    )
    if missed != "skip" and unique and job_id is None:
        schedule.coroutine = _noting_runs(schedule)
    try:
        schedule.next_fire_time(datetime(2000, 1, 1, tzinfo=UTC), UTC)
    except (StopIteration, RuntimeError):
        raise UsageError(f"{schedule.name} is never due") from None
    return schedule


def _job_name(job: str | CronFunction) -> str | None:
    """Return the name of the job; None for a plain function, which the cron itself runs.

    A cron never runs a job itself: a cron has one try and leaves no dead letter.
    """
    if isinstance(job, str):
        return job
    definition = definition_of(job)
    return None if definition is None else definition.name


@cache
def _enqueuing(
    job: str, name: str | None, only_id: str | None, explicit_id: bool
) -> WorkerCoroutine:
    """Return the coroutine function of a cron, which enqueues the job.

    If it runs again, it enqueues the same job id again, without effect. So it may keep trying
    during an outage, when no other worker fires the same time any more.
    """

    async def enqueue(ctx: dict[Any, Any]) -> None:
        cron_id = ctx["job_id"]  # in use while the cron runs
        names_fire_time = name is None and cron_id.startswith("cron:")
        derived_id = cron_id.removeprefix("cron:") if names_fire_time else f"{job}:{cron_id}"
        job_id = only_id or (None if explicit_id else derived_id)
        while True:
            try:
                await ctx["redis"].enqueue_job(job, _job_id=job_id)
            except TRANSIENT_ERRORS:
                if job_id is None:
                    raise
                await asyncio.sleep(OUTAGE_DELAY)
            else:
                return

    enqueue.__qualname__ = job
    return enqueue


def refuse_duplicate_names(functions: Iterable[Function | CronJob]) -> None:
    """Check that names are unique.

    Raises:
        UsageError: Two different functions or schedules have one name.
    """
    found: dict[str, Function | CronJob] = {}
    for function in functions:
        if found.setdefault(function.name, function).coroutine != function.coroutine:
            raise UsageError(
                f"two jobs or schedules are named {function.name}: rename one of them, because a "
                "worker finds functions and fire times by name"
            )


def _noting_runs(cron: Cron) -> WorkerCoroutine:
    """Return the schedule's coroutine function, which first records the fire time in Redis.

    arq's worker records nothing when it fires, and our workers would take the time for missed.
    """
    run = cron.coroutine

    @wraps(run)
    async def noting(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        fire_time_ms = ctx["job_id"].removeprefix(f"{cron.name}:")
        if fire_time_ms.isdecimal():  # else it was enqueued by hand
            schedule, earlier = cron.identity, "1" if cron.missed == "all" else ""
            names = CRON + schedule, CRON_RAN + schedule
            with suppress(*TRANSIENT_ERRORS):
                await ctx["redis"].eval(
                    NOTE_CRON_RUN.text, 2, *names, fire_time_ms, earlier, _RUNS_KEPT_MS
                )
        return await run(ctx, *args, **kwargs)

    return noting
