"""When a schedule's jobs run."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from arq.connections import ArqRedis
from arq.cron import cron as arq_cron

from jobs.testing.waiting import wait_until
from tests.defects.kinds import Kind, quick
from tests.integration.workers import connect, running

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.mark.parametrize(("month", "day"), [(3, 29), (10, 25)])
async def test_crons_go_on_when_the_clocks_change(
    kind: Kind, redis_url: str, month: int, day: int
) -> None:
    """Defect 13: silent for an hour in autumn, sixty extra runs in spring."""
    zone = ZoneInfo("Europe/Berlin")
    worker = kind(
        cron_jobs=[arq_cron(quick, minute={0, 15, 30, 45}, microsecond=0)],
        redis_pool=await connect(redis_url),
        timezone=zone,  # type: ignore[arg-type]  # arq's annotation is too narrow
    )
    (schedule,) = worker.cron_jobs
    schedule.calculate_next(datetime(2026, month, day, 0, 50, tzinfo=UTC).astimezone(zone))
    slots = []
    for _ in range(6):
        assert schedule.next_run is not None
        slots.append(schedule.next_run.astimezone(UTC))
        schedule.calculate_next(schedule.next_run)
    await worker.close()
    assert slots == [
        datetime(2026, month, day, 1, tzinfo=UTC) + timedelta(minutes=15 * n) for n in range(6)
    ]


async def test_a_cron_with_an_id_of_its_own_may_run_twice_in_a_minute(
    kind: Kind, redis: ArqRedis, redis_url: str
) -> None:
    """Defect 14: the hold of a minute on a schedule's job blocks the next one of its id."""
    runs = []

    async def note(ctx: dict[str, Any]) -> None:
        runs.append(time.time())

    worker = kind(
        cron_jobs=[arq_cron(note, second=None, job_id="mine", name="note")],
        redis_pool=await connect(redis_url),
        poll_delay=0.1,
    )
    async with running(worker):
        await wait_until(lambda: len(runs) >= 2, timeout=4)
