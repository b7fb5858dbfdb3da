"""Fire times and options of schedules."""

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


def local_fire_times(schedule: Cron, start: datetime, count: int) -> list[str]:
    zone = schedule.zone or UTC
    fire_times = islice(schedule.fire_times.after(start, zone), count)
    return [f"{fire_time.astimezone(zone):%d %H:%M:%S %z}" for fire_time in fire_times]


def test_expression_follows_its_zone() -> None:
    schedule = cron("report.daily", expression="30 7 * * mon-fri", timezone=BERLIN)
    assert local_fire_times(schedule, datetime(2026, 7, 3, tzinfo=UTC), 2) == [
        "03 07:30:00 +0200",
        "06 07:30:00 +0200",
    ]


def test_skipped_time_of_day_runs_after_the_gap() -> None:
    schedule = cron("report.daily", hour=2, minute=30, timezone=BERLIN)
    assert local_fire_times(schedule, datetime(2026, 3, 28, tzinfo=UTC), 3) == [
        "28 02:30:00 +0100",
        "29 03:00:00 +0200",
        "30 02:30:00 +0200",
    ]


def test_repeated_time_of_day_runs_once() -> None:
    schedule = cron("report.daily", hour=2, minute=30, timezone=BERLIN)
    assert local_fire_times(schedule, datetime(2026, 10, 24, tzinfo=UTC), 3) == [
        "24 02:30:00 +0200",
        "25 02:30:00 +0200",
        "26 02:30:00 +0100",
    ]


@pytest.mark.parametrize(("month", "day"), [(3, 29), (10, 25)])
def test_interval_schedule_continues_in_real_time(month: int, day: int) -> None:
    schedule = cron("lead.qualify_pending", minute={0, 15, 30, 45}, timezone=BERLIN)
    fire_times = list(
        islice(
            schedule.fire_times.after(datetime(2026, month, day, tzinfo=UTC), ZoneInfo(BERLIN)), 40
        )
    )
    assert {b - a for a, b in pairwise(fire_times)} == {timedelta(minutes=15)}


def test_weekday_and_day_of_month_must_both_match_as_in_arq() -> None:
    schedule = cron("report.bad_luck", weekday="fri", day=13, hour=0, minute=0)
    fire_time = schedule.next_fire_time(datetime(2026, 3, 14, tzinfo=UTC), UTC)
    assert (fire_time.year, fire_time.month, fire_time.day) == (2026, 11, 13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expression": "61 * * * *"}, "61"),
        ({"expression": "* * *"}, "Wrong number of fields"),
        ({"expression": "* * * * *", "hour": 3}, "not both"),
        ({"day": 31, "month": 2}, "day-of-month"),
        ({"timezone": "Europe/Atlantis"}, "Europe/Atlantis"),
    ],
)
def test_invalid_times_are_named_in_the_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cron("a.b", **options)  # type: ignore[arg-type]


@job("report.checked")
async def checked(ctx: object) -> None: ...


@pytest.mark.parametrize(
    "options", [{}, {"alone": True}, {"name": "nightly"}, {"missed": "once", "timezone": BERLIN}]
)
async def test_job_function_is_equivalent_to_its_name(options: dict[str, Any]) -> None:
    by_function = cron(checked, hour=1, **options)
    by_name = cron("report.checked", hour=1, **options)

    assert (by_function.name, by_function.identity) == (by_name.name, by_name.identity)
    for own_id in (f"{by_name.name}:123", "by-hand"):
        assert await _enqueued_by(by_function, own_id) == await _enqueued_by(by_name, own_id)
    Worker(cron_jobs=[cron(checked, hour=1), cron("report.checked", hour=2)], handle_signals=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alone": True}, "alone=True is for jobs"),
        ({"missed": "all", "unique": False}, "missed='all' needs the ids"),
    ],
)
def test_options_without_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
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
async def test_same_name_with_different_functions_is_refused(second: Cron) -> None:
    crons = [cron(tick, hour=1), second]
    with pytest.raises(UsageError, match="two jobs or schedules are named cron:tick"):
        Worker(cron_jobs=crons, handle_signals=False)
    with pytest.raises(UsageError, match="two jobs or schedules are named cron:tick"):
        type("Wrong", (EngineSettings,), {"cron_jobs": crons})


async def test_same_name_with_the_same_function_is_accepted_as_in_arq() -> None:
    class Service:
        async def tick(self, ctx: object) -> None: ...

    for job_or_name in (tick, "tick", Service().tick):
        crons = [cron(job_or_name, hour=1), cron(job_or_name, hour=2)]
        Worker(cron_jobs=crons, handle_signals=False)


def test_previous_fire_time_looks_back_years() -> None:
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
def test_fire_times_in_utc_equal_those_of_arq(options: dict[str, int], moment: datetime) -> None:
    ours = Cron.adopt(arq_cron(tick, **options))  # type: ignore[arg-type]
    defaults = {"second": 0, "microsecond": 123_456}
    assert ours.next_fire_time(moment, UTC) == next_cron(moment, **defaults | options)


@given(st.sampled_from(["*/7 * * * *", "5 */3 * * *", "30 2 * * *", "0 0 1 * *"]), moments)
def test_previous_fire_time_precedes_the_next(expression: str, moment: datetime) -> None:
    schedule = cron("a.b", expression=expression, timezone=BERLIN)
    last = schedule.previous_fire_time(moment, UTC)
    assert last is not None
    assert last <= moment < schedule.next_fire_time(last, UTC)


def test_schedule_has_the_interface_of_arq() -> None:
    schedule = cron("campaign.tick", minute=5)
    assert isinstance(schedule, CronJob)
    schedule.calculate_next(datetime(2026, 1, 1, tzinfo=UTC))
    assert schedule.next_run == datetime(2026, 1, 1, 0, 5, 0, 123_456, tzinfo=UTC)
    assert schedule.name == "cron:campaign.tick"


async def _enqueued_by(schedule: Cron, own_id: str) -> list[object]:
    """Return the calls of `enqueue_job` when the schedule runs under this id."""

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
async def test_schedule_by_name_only_enqueues(own_id: str, job_id: str) -> None:
    enqueued = await _enqueued_by(cron("campaign.tick"), own_id)
    assert enqueued == [(("campaign.tick",), {"_job_id": job_id})]
