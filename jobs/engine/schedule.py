"""Fires the crons of a worker when they are due."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from arq.connections import ArqRedis
from arq.jobs import serialize_job
from arq.utils import timestamp_ms, to_unix_ms

from jobs.engine.channel import OUTAGE, Channel
from jobs.engine.clock import Clock, SystemClock
from jobs.engine.crons import Cron
from jobs.engine.keys import CRON, CRON_RAN
from jobs.engine.outage import Outage
from jobs.engine.scripts import FIRE

LATE: Final = timedelta(minutes=1)
"""Real time after which a slot counts as missed."""
LEAST_INTERVAL_MS: Final = 250
"""Real time between two firings of one schedule, over all workers."""
_LONGEST_SLEEP: Final = 5.0
"""Seconds: a machine may have slept, or its clock been set."""


@dataclass(slots=True)
class _State:
    """done: the slot up to which nothing is left to do. startup: a slot of its own, to begin with,
    where the schedule runs at startup; the same for all."""

    cron: Cron
    done: datetime
    startup: datetime | None


class Schedule:
    """The crons of one worker.

    queue: where crons go that name none. fired is called when a job was enqueued.
    """

    def __init__(
        self,
        crons: Sequence[Cron],
        *,
        redis: ArqRedis,
        channel: Channel,
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

    async def run(self) -> None:
        """Fire for as long as the worker runs."""
        outage = Outage("the schedule")
        while self._crons:
            try:
                pause = await self.tick()
                outage.over()
            except OUTAGE as error:
                outage.met(error)
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
        """Where a schedule goes on from: now, or its last slot, if missed ones matter."""
        now = self._clock_of(cron).now()
        state = _State(cron, now, now if cron.run_at_startup else None)
        if cron.remembered and cron.unique and cron.missed != "skip":
            key = CRON + cron.identity
            async with self._redis.pipeline() as pipe:
                pipe.hsetnx(key, "slot", str(to_unix_ms(now)))
                pipe.hget(key, "slot")
                _, slot = await pipe.execute()
            state.done = min(now, datetime.fromtimestamp(int(slot) / 1000, UTC))
        return state

    async def _advance(self, state: _State) -> float:
        cron, clock = state.cron, self._clock_of(state.cron)
        while True:
            now = clock.now()
            slot = state.startup or cron.next_after(state.done, self._zone)
            cron.next_run = slot
            if slot > now:
                return min(clock.real_delay(slot).total_seconds(), _LONGEST_SLEEP)
            if state.startup is None and cron.missed != "all":
                slot = cron.last_until(now, self._zone) or slot
                if cron.missed == "skip" and slot < clock.ago(LATE):
                    state.done = slot
                    continue
            if not await self._fire(state, slot):
                return LEAST_INTERVAL_MS / 1000

    async def _fire(self, state: _State, slot: datetime) -> bool:
        """Enqueue the slot, unless someone has; False when it is too soon after the last one."""
        cron, job_id = state.cron, state.cron.job_id_of(slot)
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
        fired, last, _ = await self._channel.call(
            FIRE,
            [CRON + cron.identity, queue, CRON_RAN + cron.identity],
            slot_ms,
            job_id,
            payload,
            self._redis.expires_extra_ms,
            interval,
        )
        if fired:
            self._fired()
        if int(last) < slot_ms:
            return False
        state.done, state.startup = max(slot, state.done), None
        return True
