"""Our workers and arq's worker have the same schedules. Whatever the order in which workers start,
tick, run jobs and stop, each fire time runs once."""

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
from tests.model.environment import Environment, open_environment

QUEUE = "arq:queue"
STARTS = [
    datetime(2025, 3, 29, 23, 50, 30, tzinfo=UTC),  # an hour before the clocks in Berlin go forward
    datetime(2025, 10, 25, 23, 50, 30, tzinfo=UTC),  # an hour before they go back
    datetime(2025, 7, 1, 11, 50, 30, tzinfo=UTC),
]
MINUTES_OF = {"all": (0, 20, 40), "once": (5,), "skip": (0, 30)}


async def record_run(ctx: dict[str, Any]) -> None:
    await ctx["redis"].rpush("ran", ctx["job_id"])


def schedules() -> list[Cron]:
    """Create schedules that run all missed fire times, only the last one, and none."""
    return [
        cron(
            record_run,
            name="all",
            expression="*/20 * * * *",
            timezone="Europe/Berlin",
            missed="all",
        ),
        cron(
            record_run,
            name="once",
            expression="5 * * * *",
            timezone="America/New_York",
            missed="once",
        ),
        cron(record_run, name="skip", minute={0, 30}),
    ]


def fire_times(name: str, since: datetime, until: datetime) -> list[datetime]:
    """Find fire times minute by minute. UTC minutes suffice: the zones' offsets are whole hours."""
    first = since.replace(second=0, microsecond=0)
    minutes = (
        first + timedelta(minutes=n) for n in range((until - first) // timedelta(minutes=1) + 1)
    )
    matching = (m.replace(microsecond=123_456) for m in minutes if m.minute in MINUTES_OF[name])
    return [fire_time for fire_time in matching if since < fire_time <= until]


def job_id(name: str, fire_time: datetime) -> str:
    return f"{name}:{round(fire_time.timestamp() * 1000)}"


class ArqWorker(arq.worker.Worker):
    """arq's worker, reduced to schedules, on the test's clock."""

    async def heart_beat(self) -> None: ...

    async def run_all(self) -> None:
        await self._poll_iteration()
        for task in list(self.tasks.values()):
            await task


worker_indexes = st.integers(0, 1)
minutes_later = st.sampled_from([1, 1, 7, 20, 61, 300])
events = st.one_of(
    st.tuples(st.just("time_passes"), minutes_later),
    st.tuples(st.just("time_passes"), minutes_later),
    st.tuples(st.just("our_worker_runs_due_jobs"), st.just(100)),
    st.tuples(st.just("our_worker_ticks"), worker_indexes),
    st.tuples(st.sampled_from(["our_worker_starts", "our_worker_stops"]), worker_indexes),
    st.tuples(st.just("our_worker_runs_due_jobs"), st.integers(1, 30)),
    st.tuples(st.just("arq_worker_ticks")),
    st.tuples(st.sampled_from(["arq_worker_starts", "arq_worker_starts", "arq_worker_stops"])),
    st.tuples(st.just("arq_worker_runs_due_jobs")),
)


class ScheduleMachine(RuleBasedStateMachine):
    environment: ClassVar[Environment]

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.environment.redis
        self.redis.flushdb()
        self.clock, self.first_started = FrozenClock(STARTS[0]), STARTS[0]
        self.ours: list[Scheduler | None] = [None, None]
        self.claims = QueueOperations(self.environment.channels[0], [QUEUE], lease=60)
        self.arq_worker: ArqWorker | None = None

    @initialize(start=st.sampled_from(STARTS))
    def our_workers_start_at(self, start: datetime) -> None:
        self.clock, self.first_started = FrozenClock(start), start
        for index in (0, 1):
            self.our_worker_starts(index)

    @rule(event=events)
    def happens(self, event: tuple[str, *tuple[int, ...]]) -> None:
        name, *arguments = event
        getattr(self, name)(*arguments)

    def time_passes(self, minutes: int) -> None:
        """Let time pass, by real time, too: two firings are far enough apart, and the marks and
        results of finished jobs expire. All workers catch up first, because these marks prevent
        that a job is enqueued again.
        """
        self.our_worker_records_fired_times()
        waiting, ran = self._waiting_and_ran()
        if waiting & set(ran):
            self.our_worker_runs_due_jobs(100)
        for prefix in (keys.IN_PROGRESS, keys.RESULT):
            for key in self.redis.scan_iter(match=prefix + "*"):
                self.redis.delete(key)
        for key in self.redis.scan_iter(match=keys.CRON + "*"):
            self.redis.hset(key, "at", 0)
        self.clock.advance(timedelta(minutes=minutes))

    # --- our workers

    def our_worker_starts(self, index: int) -> None:
        self.ours[index] = Scheduler(
            schedules(),
            redis=self.environment.pool,
            channel=self.environment.channels[index],
            clock=self.clock,
            zone=UTC,
            queue=QUEUE,
            fired=lambda: None,
        )
        self.our_worker_ticks(index)

    def our_worker_ticks(self, index: int) -> None:
        scheduler, now = self.ours[index], self.clock.now()
        if scheduler is None:
            return
        before = self._enqueued()
        self.environment.run(scheduler.tick())
        new = self._enqueued() - before
        for fire_time in fire_times("all", self.first_started, now):
            assert job_id("all", fire_time) in self._enqueued()
        for fire_time in fire_times("once", self.first_started, now)[-1:]:
            assert job_id("once", fire_time) in self._enqueued()
        for fire_time in fire_times("skip", self.first_started, now)[-1:]:
            if fire_time > now - LATE:
                assert job_id("skip", fire_time) in self._enqueued()
        in_time = {job_id("skip", fire_time) for fire_time in fire_times("skip", now - LATE, now)}
        assert {i for i in new if i.startswith("skip")} <= in_time

    def our_worker_stops(self, index: int) -> None:
        self.ours[index] = None

    def our_worker_runs_due_jobs(self, limit: int) -> None:
        claims = self.environment.run(self.claims.claim(limit)).claims
        coroutines = {schedule.name: schedule.coroutine for schedule in schedules()}
        for claim in claims:
            name, _, _ = claim.job_id.partition(":")
            ctx = {"redis": self.environment.pool, "job_id": claim.job_id}
            self.environment.run(coroutines[name](ctx))
        completions = [Completion.finish(claim, None, 0, mark_fired=True) for claim in claims]
        assert not self.environment.run(self.claims.finish(completions))

    # --- arq's worker

    def arq_worker_starts(self) -> None:
        if self.arq_worker is not None:
            return
        self.arq_worker = ArqWorker(
            cron_jobs=schedules(),
            redis_pool=self.environment.arq_pool,
            handle_signals=False,
            timezone=ZoneInfo("UTC"),  # type: ignore[arg-type]  # arq's annotation is too narrow
            job_serializer=serialize,
            job_deserializer=deserialize,
        )
        self.arq_worker.ctx["redis"] = self.environment.arq_pool
        self.arq_worker_ticks()

    def arq_worker_ticks(self) -> None:
        if self.arq_worker is not None:
            self.environment.run(self.arq_worker.run_cron(self.clock.now(), 0.5))

    def arq_worker_catches_up(self) -> None:
        """Tick until nothing is due: one tick fires one fire time per schedule."""
        while self.arq_worker is not None and any(
            schedule.next_run <= self.clock.now()
            for schedule in self.arq_worker.cron_jobs
            if schedule.next_run
        ):
            self.arq_worker_ticks()

    def our_worker_records_fired_times(self) -> None:
        self.arq_worker_catches_up()
        if self.arq_worker is not None:
            self.our_worker_ticks(0 if self.ours[0] else 1)

    def arq_worker_stops(self) -> None:
        self.our_worker_records_fired_times()
        self.arq_worker = None

    def arq_worker_runs_due_jobs(self) -> None:
        """Run due jobs after catching up. A late arq worker would enqueue and run a job again."""
        self.arq_worker_catches_up()
        if self.arq_worker is not None:
            self.environment.run(self.arq_worker.run_all())

    # --- invariants

    def _waiting_and_ran(self) -> tuple[set[str], list[str]]:
        waiting, ran = self.redis.zrange(QUEUE, 0, -1), self.redis.lrange("ran", 0, -1)
        return {i.decode() for i in waiting}, [i.decode() for i in ran]

    def _enqueued(self) -> set[str]:
        waiting, ran = self._waiting_and_ran()
        return waiting | set(ran)

    @invariant()
    def no_fire_time_runs_twice(self) -> None:
        _, ran = self._waiting_and_ran()
        assert len(ran) == len(set(ran))

    @invariant()
    def only_fire_times_are_enqueued(self) -> None:
        for scheduled_id in self._enqueued():
            name, _, ms = scheduled_id.partition(":")
            fire_time = datetime.fromtimestamp(int(ms) // 1000, UTC)
            assert (fire_time.minute in MINUTES_OF[name], fire_time.second, int(ms) % 1000) == (
                True,
                0,
                123,
            )
            assert fire_time <= self.clock.now()


def test_each_fire_time_runs_once(redis_url: str) -> None:
    with open_environment(redis_url) as environment:
        machine = type("Machine", (ScheduleMachine,), {"environment": environment})
        run_state_machine_as_test(
            machine, settings=settings(max_examples=settings().max_examples // 2)
        )
