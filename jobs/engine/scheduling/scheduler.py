"""Fires the crons of a worker when they are due."""

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
"""Real time after which a slot counts as missed."""
_LATE_MS: Final = LATE // timedelta(milliseconds=1)
"""So far may a machine's clock be ahead of Redis's: later slots were fired by a wrong one."""
LEAST_INTERVAL_MS: Final = 250
"""Real time between two firings of one schedule, over all workers."""
_LONGEST_SLEEP: Final = 5.0
"""Seconds: a machine may have slept, or its clock been set."""


@dataclass(slots=True)
class _State:
    """done: the slot up to which nothing is left to do. startup: a slot of its own, to begin with,
    where the schedule runs at startup."""

    cron: Cron
    done: datetime
    startup: datetime | None


class Scheduler:
    """The crons of one worker.

    queue: where crons go that name none. fired is called when a job was enqueued.
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
        """Fire for as long as the worker runs."""
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
        """Fire what is due; the real seconds until something may be due again."""
        if self._states is None:
            self._states = [await self._remember(cron) for cron in self._crons]
        pauses = [await self._advance(state) for state in self._states]
        return min(pauses, default=_LONGEST_SLEEP)

    def _clock_of(self, cron: Cron) -> Clock:
        return SystemClock() if cron.real_time else self._clock

    async def _remember(self, cron: Cron) -> _State:
        """Where a schedule goes on from: its last slot, or now; where missed ones are skipped, at
        most so long ago that they count as missed."""
        clock = self._clock_of(cron)
        now = clock.now()
        state = _State(cron, now, now if cron.run_at_startup else None)
        if cron.remembered and cron.unique:
            key = CRON + cron.identity
            async with self._redis.pipeline() as pipe:
                pipe.hsetnx(key, "slot", str(to_unix_ms(now) - 1))  # this moment may be a slot
                pipe.hget(key, "slot")
                _, slot = await pipe.execute()
            state.done = min(now, datetime.fromtimestamp(int(slot) / 1000, UTC))
            if cron.missed == "skip":
                state.done = max(state.done, clock.ago(LATE))
        return state

    async def _advance(self, state: _State) -> float:
        cron, clock = state.cron, self._clock_of(state.cron)
        while True:
            now = clock.now()
            slot = cron.next_fire_time(state.done, self._zone)
            if state.startup is not None and (cron.missed != "all" or slot > now):
                slot = state.startup
            cron.next_run = slot
            if slot > now:
                return min(clock.real_delay(slot).total_seconds(), _LONGEST_SLEEP)
            if slot != state.startup and cron.missed != "all":
                slot = cron.previous_fire_time(now, self._zone) or slot
                if cron.missed == "skip" and slot < clock.ago(LATE):
                    state.done = slot
                    continue
            if not await self._fire(state, slot):
                return LEAST_INTERVAL_MS / 1000

    async def _fire(self, state: _State, slot: datetime) -> bool:
        """Enqueue the slot, unless someone has; False when it is too soon after the last one."""
        cron, job_id = state.cron, state.cron.job_id_at(slot)
        queue = cron.queue or self._queue
        if job_id is None or not cron.remembered:
            await self._redis.enqueue_job(cron.name, _job_id=job_id, _queue_name=queue)
            state.done, state.startup = slot, None
            self._fired()
            return True
        slot_ms = to_unix_ms(slot)
        payload = serialize_job(
            cron.name, (), {}, None, timestamp_ms(), serializer=self._redis.job_serializer
        )
        interval = 0 if cron.missed == "all" else LEAST_INTERVAL_MS
        by_system = isinstance(self._clock_of(cron), SystemClock)
        fired, last, now_ms = await self._channel.call(
            FIRE_CRON,
            [CRON + cron.identity, queue, CRON_RAN + cron.identity],
            slot_ms,
            job_id,
            payload,
            self._redis.expires_extra_ms,
            interval,
            _LATE_MS if by_system else "",
        )
        if fired:
            self._fired()
        if int(last) >= slot_ms:
            state.done = max(slot, state.done)
            if slot == state.startup:
                state.startup = None
            return True
        if by_system and slot_ms > int(now_ms) + _LATE_MS and not self._ahead:
            self._ahead = True
            logger.warning(
                "schedules wait: the clock of this machine is %.0f s ahead of Redis's",
                (slot_ms - int(now_ms)) / 1000,
            )
        return False
