"""Workers of ours and one of arq's hold the same schedules: whoever ticks, stops, starts and runs
what is due, in whatever order, each slot runs once."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import arq.worker
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from jobs.engine import Cron, cron, deserialize, serialize
from jobs.engine.queue import keys
from jobs.engine.queue.claim import Completion
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.scheduling.scheduler import LATE, Scheduler
from jobs.testing import FrozenClock
from tests.model.ground import Ground, opened

QUEUE = "arq:queue"
STARTS = [
    datetime(2025, 3, 29, 23, 50, 30, tzinfo=UTC),  # an hour before Berlin's clocks go forward
    datetime(2025, 10, 25, 23, 50, 30, tzinfo=UTC),  # and back
    datetime(2025, 7, 1, 11, 50, 30, tzinfo=UTC),
]
MINUTES_OF = {"all": (0, 20, 40), "once": (5,), "skip": (0, 30)}


async def note(ctx: dict[str, Any]) -> None:
    await ctx["redis"].rpush("ran", ctx["job_id"])


def schedules() -> list[Cron]:
    """Each missed slot runs; the last missed one; none."""
    return [
        cron(note, name="all", expression="*/20 * * * *", timezone="Europe/Berlin", missed="all"),
        cron(note, name="once", expression="5 * * * *", timezone="America/New_York", missed="once"),
        cron(note, name="skip", minute={0, 30}),
    ]


def slots(name: str, since: datetime, until: datetime) -> list[datetime]:
    """Minute by minute: the zones' offsets are whole hours."""
    first = since.replace(second=0, microsecond=0)
    minutes = (
        first + timedelta(minutes=n) for n in range((until - first) // timedelta(minutes=1) + 1)
    )
    marked = (one.replace(microsecond=123_456) for one in minutes if one.minute in MINUTES_OF[name])
    return [one for one in marked if since < one <= until]


def job_id(name: str, slot: datetime) -> str:
    return f"{name}:{round(slot.timestamp() * 1000)}"


class StockWorker(arq.worker.Worker):
    """arq's worker, whose clock is the test's, for schedules only."""

    async def heart_beat(self) -> None: ...

    async def run_all(self) -> None:
        await self._poll_iteration()
        for task in list(self.tasks.values()):
            await task


one_of_two = st.integers(0, 1)
minutes_later = st.sampled_from([1, 1, 7, 20, 61, 300])
events = st.one_of(
    st.tuples(st.just("time_passes"), minutes_later),
    st.tuples(st.just("time_passes"), minutes_later),
    st.tuples(st.just("one_of_ours_runs_what_is_due"), st.just(100)),
    st.tuples(st.just("one_of_ours_ticks"), one_of_two),
    st.tuples(st.sampled_from(["one_of_ours_starts", "one_of_ours_stops"]), one_of_two),
    st.tuples(st.just("one_of_ours_runs_what_is_due"), st.integers(1, 30)),
    st.tuples(st.just("a_stock_worker_beats")),
    st.tuples(
        st.sampled_from(["a_stock_worker_starts", "a_stock_worker_starts", "a_stock_worker_stops"])
    ),
    st.tuples(st.just("a_stock_worker_runs_what_is_due")),
)


class ScheduleMachine(RuleBasedStateMachine):
    ground: ClassVar[Ground]

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.ground.redis
        self.redis.flushdb()
        self.clock, self.first_started = FrozenClock(STARTS[0]), STARTS[0]
        self.ours: list[Scheduler | None] = [None, None]
        self.claims = QueueOperations(self.ground.channels[0], [QUEUE], lease=60)
        self.stock: StockWorker | None = None

    @initialize(start=st.sampled_from(STARTS))
    def ours_run_at(self, start: datetime) -> None:
        self.clock, self.first_started = FrozenClock(start), start
        for who in (0, 1):
            self.one_of_ours_starts(who)

    @rule(event=events)
    def happens(self, event: tuple[str, *tuple[int, ...]]) -> None:
        name, *arguments = event
        getattr(self, name)(*arguments)

    def time_passes(self, minutes: int) -> None:
        """By real time too: two firings of a schedule are some way apart, and the marks and results
        of what has run are gone. Nobody is later than they last: by them is known what is enqueued
        once more.
        """
        self.one_of_ours_notes_what_it_has_fired()
        waiting, ran = self._waiting_and_ran()
        if waiting & set(ran):
            self.one_of_ours_runs_what_is_due(100)
        for prefix in (keys.IN_PROGRESS, keys.RESULT):
            for key in self.redis.scan_iter(match=prefix + "*"):
                self.redis.delete(key)
        for key in self.redis.scan_iter(match=keys.CRON + "*"):
            self.redis.hset(key, "at", 0)
        self.clock.advance(timedelta(minutes=minutes))

    # --- our workers

    def one_of_ours_starts(self, who: int) -> None:
        self.ours[who] = Scheduler(
            schedules(),
            redis=self.ground.pool,
            channel=self.ground.channels[who],
            clock=self.clock,
            zone=UTC,
            queue=QUEUE,
            fired=lambda: None,
        )
        self.one_of_ours_ticks(who)

    def one_of_ours_ticks(self, who: int) -> None:
        schedule, now = self.ours[who], self.clock.now()
        if schedule is None:
            return
        before = self._enqueued()
        self.ground.run(schedule.tick())
        new = self._enqueued() - before
        for slot in slots("all", self.first_started, now):
            assert job_id("all", slot) in self._enqueued()
        for slot in slots("once", self.first_started, now)[-1:]:
            assert job_id("once", slot) in self._enqueued()
        for slot in slots("skip", self.first_started, now)[-1:]:
            if slot > now - LATE:
                assert job_id("skip", slot) in self._enqueued()
        in_time = {job_id("skip", slot) for slot in slots("skip", now - LATE, now)}
        assert {one for one in new if one.startswith("skip")} <= in_time

    def one_of_ours_stops(self, who: int) -> None:
        self.ours[who] = None

    def one_of_ours_runs_what_is_due(self, limit: int) -> None:
        claims = self.ground.run(self.claims.claim(limit)).claims
        bodies = {one.name: one.coroutine for one in schedules()}
        for claim in claims:
            name, _, _ = claim.job_id.partition(":")
            ctx = {"redis": self.ground.pool, "job_id": claim.job_id}
            self.ground.run(bodies[name](ctx))
        done = [Completion.finish(claim, None, 0, mark_fired=True) for claim in claims]
        assert not self.ground.run(self.claims.finish(done))

    # --- a stock worker

    def a_stock_worker_starts(self) -> None:
        if self.stock is not None:
            return
        self.stock = StockWorker(
            cron_jobs=schedules(),
            redis_pool=self.ground.stock_pool,
            handle_signals=False,
            timezone=ZoneInfo("UTC"),  # type: ignore[arg-type]  # arq's annotation is too narrow
            job_serializer=serialize,
            job_deserializer=deserialize,
        )
        self.stock.ctx["redis"] = self.ground.stock_pool
        self.a_stock_worker_beats()

    def a_stock_worker_beats(self) -> None:
        if self.stock is not None:
            self.ground.run(self.stock.run_cron(self.clock.now(), 0.5))

    def a_stock_worker_catches_up(self) -> None:
        """A turn of its loop fires one slot of a schedule."""
        while self.stock is not None and any(
            one.next_run <= self.clock.now() for one in self.stock.cron_jobs if one.next_run
        ):
            self.a_stock_worker_beats()

    def one_of_ours_notes_what_it_has_fired(self) -> None:
        self.a_stock_worker_catches_up()
        if self.stock is not None:
            self.one_of_ours_ticks(0 if self.ours[0] else 1)

    def a_stock_worker_stops(self) -> None:
        self.one_of_ours_notes_what_it_has_fired()
        self.stock = None

    def a_stock_worker_runs_what_is_due(self) -> None:
        """It is not late itself: what it has run and enqueues again would run again, as in arq."""
        self.a_stock_worker_catches_up()
        if self.stock is not None:
            self.ground.run(self.stock.run_all())

    # --- what holds at any time

    def _waiting_and_ran(self) -> tuple[set[str], list[str]]:
        waiting, ran = self.redis.zrange(QUEUE, 0, -1), self.redis.lrange("ran", 0, -1)
        return {one.decode() for one in waiting}, [one.decode() for one in ran]

    def _enqueued(self) -> set[str]:
        waiting, ran = self._waiting_and_ran()
        return waiting | set(ran)

    @invariant()
    def no_slot_has_run_twice(self) -> None:
        _, ran = self._waiting_and_ran()
        assert len(ran) == len(set(ran))

    @invariant()
    def nothing_is_enqueued_but_slots(self) -> None:
        for one in self._enqueued():
            name, _, ms = one.partition(":")
            slot = datetime.fromtimestamp(int(ms) // 1000, UTC)
            assert (slot.minute in MINUTES_OF[name], slot.second, int(ms) % 1000) == (True, 0, 123)
            assert slot <= self.clock.now()


def test_each_slot_runs_once(redis_url: str) -> None:
    with opened(redis_url) as ground:
        machine = type("Machine", (ScheduleMachine,), {"ground": ground})
        run_state_machine_as_test(
            machine, settings=settings(max_examples=settings().max_examples // 2)
        )
