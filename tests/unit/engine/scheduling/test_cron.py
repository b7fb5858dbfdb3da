"""When schedules are due."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from arq.cron import CronJob, next_cron
from arq.cron import cron as arq_cron
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine import Cron, EngineSettings, Worker, cron, job
from jobs.errors import UsageError

BERLIN = "Europe/Berlin"


async def tick(ctx: object) -> None: ...


def local_slots(schedule: Cron, start: datetime, count: int) -> list[str]:
    zone = schedule.zone or UTC
    slots = islice(schedule.fire_times.after(start, zone), count)
    return [f"{slot.astimezone(zone):%d %H:%M:%S %z}" for slot in slots]


def test_expression_in_a_zone() -> None:
    schedule = cron("report.daily", expression="30 7 * * mon-fri", timezone=BERLIN)
    assert local_slots(schedule, datetime(2026, 7, 3, tzinfo=UTC), 2) == [
        "03 07:30:00 +0200",
        "06 07:30:00 +0200",
    ]


def test_a_skipped_time_of_day_runs_after_the_gap() -> None:
    schedule = cron("report.daily", hour=2, minute=30, timezone=BERLIN)
    assert local_slots(schedule, datetime(2026, 3, 28, tzinfo=UTC), 3) == [
        "28 02:30:00 +0100",
        "29 03:00:00 +0200",
        "30 02:30:00 +0200",
    ]


def test_a_repeated_time_of_day_runs_once() -> None:
    schedule = cron("report.daily", hour=2, minute=30, timezone=BERLIN)
    assert local_slots(schedule, datetime(2026, 10, 24, tzinfo=UTC), 3) == [
        "24 02:30:00 +0200",
        "25 02:30:00 +0200",
        "26 02:30:00 +0100",
    ]


@pytest.mark.parametrize(("month", "day"), [(3, 29), (10, 25)])
def test_what_runs_every_so_often_goes_on_by_real_time(month: int, day: int) -> None:
    schedule = cron("lead.qualify_pending", minute={0, 15, 30, 45}, timezone=BERLIN)
    slots = list(
        islice(
            schedule.fire_times.after(datetime(2026, month, day, tzinfo=UTC), ZoneInfo(BERLIN)), 40
        )
    )
    assert {b - a for a, b in pairwise(slots)} == {timedelta(minutes=15)}


def test_the_day_of_week_and_the_day_of_month_both_have_to_match_as_in_arq() -> None:
    schedule = cron("report.bad_luck", weekday="fri", day=13, hour=0, minute=0)
    slot = schedule.next_fire_time(datetime(2026, 3, 14, tzinfo=UTC), UTC)
    assert (slot.year, slot.month, slot.day) == (2026, 11, 13)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"expression": "61 * * * *"}, "61"),
        ({"expression": "* * *"}, "Wrong number of fields"),
        ({"expression": "* * * * *", "hour": 3}, "not both"),
        ({"day": 31, "month": 2}, "day-of-month"),
        ({"timezone": "Europe/Atlantis"}, "Europe/Atlantis"),
    ],
)
def test_wrong_times_are_named(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cron("a.b", **options)  # type: ignore[arg-type]


@job("report.checked")
async def checked(ctx: object) -> None: ...


@pytest.mark.parametrize(
    "options", [{}, {"alone": True}, {"name": "nightly"}, {"missed": "once", "timezone": BERLIN}]
)
async def test_a_job_function_stands_for_the_name_of_its_job(options: dict[str, Any]) -> None:
    by_function = cron(checked, hour=1, **options)
    by_name = cron("report.checked", hour=1, **options)

    assert (by_function.name, by_function.identity) == (by_name.name, by_name.identity)
    for own_id in (f"{by_name.name}:123", "by-hand"):
        assert await _enqueued_by(by_function, own_id) == await _enqueued_by(by_name, own_id)
    Worker(cron_jobs=[cron(checked, hour=1), cron("report.checked", hour=2)], handle_signals=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alone": True}, "alone=True is for jobs"),
        ({"missed": "all", "unique": False}, "missed='all' needs the ids"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cron(tick, hour=1, **options)


async def other(ctx: object) -> None: ...


@pytest.mark.parametrize(
    "second",
    [
        cron(other, name="cron:tick", hour=2),
        cron(tick, hour=2, missed="once"),
        cron("tick", hour=2),
    ],
)
async def test_schedules_of_one_name_that_run_different_things_are_refused(second: Cron) -> None:
    crons = [cron(tick, hour=1), second]
    with pytest.raises(UsageError, match="two jobs or schedules are named cron:tick"):
        Worker(cron_jobs=crons, handle_signals=False)
    with pytest.raises(UsageError, match="two jobs or schedules are named cron:tick"):
        type("Wrong", (EngineSettings,), {"cron_jobs": crons})


async def test_schedules_of_one_name_that_run_the_same_are_as_in_arq() -> None:
    class Service:
        async def tick(self, ctx: object) -> None: ...

    for job_or_name in (tick, "tick", Service().tick):
        crons = [cron(job_or_name, hour=1), cron(job_or_name, hour=2)]
        Worker(cron_jobs=crons, handle_signals=False)


def test_the_last_slot_up_to_a_moment() -> None:
    schedule = cron("a.b", expression="0 0 29 2 *")
    moment = datetime(2027, 5, 1, tzinfo=UTC)
    assert schedule.previous_fire_time(moment, UTC) == datetime(
        2024, 2, 29, 0, 0, 0, 123_456, tzinfo=UTC
    )


fields = st.fixed_dictionaries(
    {},
    optional={
        "month": st.integers(1, 12),
        "day": st.integers(1, 28),
        "weekday": st.integers(0, 6),
        "hour": st.integers(0, 23) | st.sets(st.integers(0, 23), min_size=1),
        "minute": st.integers(0, 59) | st.sets(st.integers(0, 59), min_size=1),
        "second": st.integers(0, 59) | st.sets(st.integers(0, 59), min_size=1),
    },
)
moments = st.integers(0, 10 * 365 * 86_400).map(
    lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=7)
)


@given(fields, moments)
def test_without_changes_of_the_clocks_slots_are_those_of_arq(
    options: dict[str, int], moment: datetime
) -> None:
    ours = Cron.adopt(arq_cron(tick, **options))  # type: ignore[arg-type]
    defaults = {"second": 0, "microsecond": 123_456}
    assert ours.next_fire_time(moment, UTC) == next_cron(moment, **defaults | options)


@given(st.sampled_from(["*/7 * * * *", "5 */3 * * *", "30 2 * * *", "0 0 1 * *"]), moments)
def test_the_last_slot_is_the_one_before_the_next(expression: str, moment: datetime) -> None:
    schedule = cron("a.b", expression=expression, timezone=BERLIN)
    last = schedule.previous_fire_time(moment, UTC)
    assert last is not None
    assert last <= moment < schedule.next_fire_time(last, UTC)


def test_arqs_worker_takes_it() -> None:
    schedule = cron("campaign.tick", minute=5)
    assert isinstance(schedule, CronJob)
    schedule.calculate_next(datetime(2026, 1, 1, tzinfo=UTC))
    assert schedule.next_run == datetime(2026, 1, 1, 0, 5, 0, 123_456, tzinfo=UTC)
    assert schedule.name == "cron:campaign.tick"


async def _enqueued_by(schedule: Cron, own_id: str) -> list[object]:
    """What the schedule enqueues when it runs under this id."""

    class Redis:
        async def enqueue_job(self, *args: object, **options: object) -> None:
            enqueued.append((args, options))

        async def eval(self, *args: object) -> None: ...

    enqueued: list[object] = []
    await schedule.coroutine({"redis": Redis(), "job_id": own_id})
    return enqueued


@pytest.mark.parametrize(
    ("own_id", "job_id"),
    [
        ("cron:campaign.tick:123", "campaign.tick:123"),
        ("by-hand", "campaign.tick:by-hand"),
    ],
)
async def test_a_cron_by_name_only_enqueues(own_id: str, job_id: str) -> None:
    enqueued = await _enqueued_by(cron("campaign.tick"), own_id)
    assert enqueued == [(("campaign.tick",), {"_job_id": job_id})]
