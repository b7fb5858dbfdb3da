"""The scheduler: fires the schedules of a worker when they are due."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from arq.connections import ArqRedis
from arq.jobs import serialize_job
from arq.utils import timestamp_ms, to_unix_ms

from jobs.clock import Clock, SystemClock
from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.connection.outage import Outage
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.queue.keys import CRON, CRON_RAN
from jobs.engine.queue.scripts import FIRE_CRON
from jobs.engine.scheduling.cron import Cron

logger = logging.getLogger("jobs.worker")

LATE: Final = timedelta(minutes=1)
"""Real time after which a fire time counts as missed."""
_LATE_MS: Final = LATE // timedelta(milliseconds=1)
"""The same in ms; a machine's clock may be ahead of Redis's by this much."""
MIN_INTERVAL_MS: Final = 250
"""Real time between two firings of one schedule, over all workers."""
_MAX_SLEEP: Final = 5.0
"""Seconds: a machine may have been suspended, or its clock set."""


@dataclass(slots=True)
class _State:
    """The progress of one schedule.

    Attributes:
        cron: The schedule.
        done: The fire time up to which everything is done.
        startup: The extra fire time at the start of the process, until it has fired.
    """

    cron: Cron
    done: datetime
    startup: datetime | None


class Scheduler:
    """Fires the schedules of one worker.

    Args:
        crons: The schedules.
        redis: The worker's Redis.
        channel: Runs the script that fires.
        clock: Business time.
        zone: The zone of schedules without one.
        queue: The queue of schedules without one.
        fired: Is called when a job was enqueued.
    """

    def __init__(
        self,
        crons: Sequence[Cron],
        *,
        redis: ArqRedis,
        channel: ScriptChannel,
        clock: Clock,
        zone: tzinfo,
        queue: str,
        fired: Callable[[], None],
    ) -> None:
        self._crons = crons
        self._redis = redis
        self._channel = channel
        self._clock = clock
        self._zone = zone
        self._queue = queue
        self._fired = fired
        self._states: list[_State] | None = None
        self._ahead = False

    async def run(self) -> None:
        """Fire until canceled."""
        outage = Outage("the schedule")
        while self._crons:
            try:
                pause = await self.tick()
                outage.end()
            except TRANSIENT_ERRORS as error:
                outage.report(error)
                pause = 1.0
            await asyncio.sleep(pause)

    async def tick(self) -> float:
        """Fire what is due.

        Returns:
            Real seconds until something may be due again.
        """
        if self._states is None:
            self._states = [await self._remember(cron) for cron in self._crons]
        pauses = [await self._advance(state) for state in self._states]
        return min(pauses, default=_MAX_SLEEP)

    def _clock_of(self, cron: Cron) -> Clock:
        return SystemClock() if cron.real_time else self._clock

    async def _remember(self, cron: Cron) -> _State:
        """Return the progress of a schedule: from its last fire time, or from now.

        If missed fire times are skipped, it goes back no further than a time that counts as missed.
        """
        clock = self._clock_of(cron)
        now = clock.now()
        state = _State(cron, now, now if cron.run_at_startup else None)
        if cron.remembered and cron.unique:
            key = CRON + cron.identity
            async with self._redis.pipeline() as pipe:
                pipe.hsetnx(key, "slot", str(to_unix_ms(now) - 1))  # now may be a fire time
                pipe.hget(key, "slot")
                _, last_ms = await pipe.execute()
            state.done = min(now, datetime.fromtimestamp(int(last_ms) / 1000, UTC))
            if cron.missed == "skip":
                state.done = max(state.done, clock.ago(LATE))
        return state

    async def _advance(self, state: _State) -> float:
        """Fire one schedule up to now; return the real seconds until it may be due again."""
        cron, clock = state.cron, self._clock_of(state.cron)
        while True:
            now = clock.now()
            fire_time = cron.next_fire_time(state.done, self._zone)
            if state.startup is not None and (cron.missed != "all" or fire_time > now):
                fire_time = state.startup
            cron.next_run = fire_time
            if fire_time > now:
                return min(clock.real_delay(fire_time).total_seconds(), _MAX_SLEEP)
            if fire_time != state.startup and cron.missed != "all":
                fire_time = cron.previous_fire_time(now, self._zone) or fire_time
                if cron.missed == "skip" and fire_time < clock.ago(LATE):
                    state.done = fire_time
                    continue
            if not await self._fire(state, fire_time):
                return MIN_INTERVAL_MS / 1000

    async def _fire(self, state: _State, fire_time: datetime) -> bool:
        """Enqueue a fire time, unless another worker has; return False if it is too early."""
        cron, job_id = state.cron, state.cron.job_id_at(fire_time)
        queue = cron.queue or self._queue
        if job_id is None or not cron.remembered:
            await self._redis.enqueue_job(cron.name, _job_id=job_id, _queue_name=queue)
            state.done, state.startup = fire_time, None
            self._fired()
            return True
        fire_time_ms = to_unix_ms(fire_time)
        payload = serialize_job(
            cron.name, (), {}, None, timestamp_ms(), serializer=self._redis.job_serializer
        )
        interval = 0 if cron.missed == "all" else MIN_INTERVAL_MS
        by_system = isinstance(self._clock_of(cron), SystemClock)
        fired, last, now_ms = await self._channel.call(
            FIRE_CRON,
            [CRON + cron.identity, queue, CRON_RAN + cron.identity],
            fire_time_ms,
            job_id,
            payload,
            self._redis.expires_extra_ms,
            interval,
            _LATE_MS if by_system else "",
        )
        if fired:
            self._fired()
        if int(last) >= fire_time_ms:
            state.done = max(fire_time, state.done)
            if fire_time == state.startup:
                state.startup = None
            return True
        if by_system and fire_time_ms > int(now_ms) + _LATE_MS and not self._ahead:
            self._ahead = True
            logger.warning(
                "schedules wait: this machine's clock is %.0f s ahead of Redis",
                (fire_time_ms - int(now_ms)) / 1000,
            )
        return False
