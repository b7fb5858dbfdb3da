"""Schedules: what is enqueued when, once for each slot, whatever the number and kind of workers."""

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

OUTAGE_PAUSE: Final = 0.5
"""Seconds between two tries to enqueue while Redis is away; the cron's time limit ends them."""
_RAN_KEPT_MS: Final = 30 * 86_400_000


@dataclass
class Cron(CronJob):
    """A schedule; arq's own workers take it too.

    times, zone: when it is due; without a zone, in the worker's. missed: what becomes of slots
    that passed while no worker ran. queue: where it is enqueued; by default the worker's first.
    remembered: the last fired slot is kept in Redis. real_time: due by the machine's clock,
    whatever the worker's clock says.
    """

    times: FireTimes | None = None
    zone: tzinfo | None = None
    missed: Missed = "skip"
    queue: str | None = None
    remembered: bool = False
    real_time: bool = False

    @classmethod
    def adopt(cls, cron: CronJob) -> "Cron":
        """One of arq's, as ours: it then fires right at a change of the clocks."""
        return cron if isinstance(cron, cls) else cls(**vars(cron))

    @property
    def slots(self) -> FireTimes:
        if self.times is None:
            self.times = FireTimes.from_fields(self)
        return self.times

    @property
    def identity(self) -> str:
        """Names the schedule among all: changed times are another schedule."""
        slots = self.slots
        seconds = ",".join(map(str, slots.seconds)) if len(slots.seconds) < 60 else "*"
        days = "" if slots.weekdays is None else f"+{sorted(slots.weekdays)}"
        return f"{self.name}@{seconds} {slots.minutes}{days} {self.zone or ''}".rstrip()

    def calculate_next(self, prev_run: datetime) -> None:
        """Called by arq's worker, with a time in its own zone."""
        self.next_run = self.next_fire_time(prev_run, prev_run.tzinfo or UTC)

    def next_fire_time(self, moment: datetime, zone: tzinfo) -> datetime:
        """The first slot after `moment`, in UTC. zone: the worker's."""
        return next(self.slots.after(moment, self.zone or zone))

    def previous_fire_time(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The last slot up to `moment`, in UTC."""
        return self.slots.last(moment, self.zone or zone)

    def job_id_at(self, slot: datetime) -> str | None:
        """arq's id, by which workers of either kind enqueue a slot once."""
        if self.job_id is not None:
            return self.job_id
        return f"{self.name}:{to_unix_ms(slot)}" if self.unique else None


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
    """A schedule for `cron_jobs`: `cron("campaign.tick")` enqueues the job of that name each
    minute, and so does the job's function in place of its name; a plain coroutine function, without
    `@job`, is run itself, as arq does.

    expression: `*/15 * * * *`, in place of arq's fields. timezone: an IANA zone; by default the
    worker's. missed: slots that passed while no worker ran are skipped, made up for by one, or all
    run. A schedule that lags behind, or that a fast clock outruns, fires its latest slot, at most
    four times a second, unless `missed` is "all". real_time: for the upkeep of machines, which a
    fast business clock does not hurry. alone: nothing is enqueued while the job of an earlier slot
    waits or runs, so that slow ones do not pile up; it has to be a job, and to keep no result,
    which would hold its id. The rest is as in arq.

    Raises UsageError for times that are wrong, or that never come.
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
        raise UsageError(f"cron: missed={missed!r} goes by the ids of the slots, not unique=False")
    if expression is not None and any(f is not None for f in (month, day, weekday, hour, minute)):
        raise UsageError(
            f"cron: give either an expression or arq's fields, not both ({expression!r})"
        )
    made = Cron(
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
        made.coroutine = _noting_slots(made)
    try:
        made.next_fire_time(datetime(2000, 1, 1, tzinfo=UTC), UTC)
    except (StopIteration, RuntimeError):
        raise UsageError(f"{made.name} is never due") from None
    return made


def _job_name(job: str | CronFunction) -> str | None:
    """The name to enqueue; None for a plain coroutine function, which the cron itself runs.

    A job is never run by its cron, which has one try and leaves no dead letter.
    """
    if isinstance(job, str):
        return job
    definition = definition_of(job)
    return None if definition is None else definition.name


@cache
def _enqueuing(
    job: str, name: str | None, only_id: str | None, explicit_id: bool
) -> WorkerCoroutine:
    """A cron only enqueues: a slot that is run again enqueues the same id again, to no effect.

    So it may try again while Redis is away: nobody else fires the slot any more.
    """

    async def enqueue(ctx: dict[Any, Any]) -> None:
        own_id = ctx["job_id"]  # which is taken while it runs
        is_slot = name is None and own_id.startswith("cron:")
        its_id = own_id.removeprefix("cron:") if is_slot else f"{job}:{own_id}"
        job_id = only_id or (None if explicit_id else its_id)
        while True:
            try:
                await ctx["redis"].enqueue_job(job, _job_id=job_id)
            except TRANSIENT_ERRORS:
                if job_id is None:
                    raise
                await asyncio.sleep(OUTAGE_PAUSE)
            else:
                return

    enqueue.__qualname__ = job
    return enqueue


def refuse_duplicate_names(functions: Iterable[Function | CronJob]) -> None:
    """A worker finds by the name what to run, and which slots ran. Raises UsageError."""
    found: dict[str, Function | CronJob] = {}
    for one in functions:
        if found.setdefault(one.name, one).coroutine != one.coroutine:
            raise UsageError(
                f"two jobs or schedules are named {one.name}: give one of them another name, since "
                "a worker finds by it what to run, and which slots ran"
            )


def _noting_slots(cron: Cron) -> WorkerCoroutine:
    """What the schedule runs, and first notes the slot in Redis: a stock worker that fires one
    does not, and a worker of ours would take it for missed."""
    run = cron.coroutine

    @wraps(run)
    async def noting(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        slot = ctx["job_id"].removeprefix(f"{cron.name}:")
        if slot.isdecimal():  # else somebody has enqueued it by hand
            schedule, earlier = cron.identity, "1" if cron.missed == "all" else ""
            names = CRON + schedule, CRON_RAN + schedule
            with suppress(*TRANSIENT_ERRORS):
                await ctx["redis"].eval(NOTE_CRON_RUN.text, 2, *names, slot, earlier, _RAN_KEPT_MS)
        return await run(ctx, *args, **kwargs)

    return noting
