"""`ringline schedule`: when the workers would fire."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from jobs.cli.commands.schedule import all_entries
from jobs.settings import get_settings


@pytest.fixture(autouse=True)
def settings_read_anew() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("zone", "housekeeping"),
    [
        ("Asia/Tokyo", datetime(2026, 11, 29, 18, 30, tzinfo=UTC)),
        ("UTC", datetime(2026, 11, 29, 3, 30, tzinfo=UTC)),
    ],
)
def test_a_cron_without_a_zone_is_due_in_the_machines(
    zone: str, housekeeping: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    entries = {entry.name: entry for entry in all_entries(datetime(2026, 11, 29, 2, tzinfo=UTC))}
    shown = entries["cron:default.housekeeping"]
    assert shown.zone == zone
    assert shown.next_run.replace(microsecond=0) == housekeeping
    assert entries["cron:analytics.report_day"].zone == "UTC"


def test_a_default_queue_of_ones_own_takes_no_schedule_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2026, 11, 29, 2, tzinfo=UTC)
    usual = all_entries(now)
    monkeypatch.setenv("TASK_DEFAULT_QUEUE", "background")
    get_settings.cache_clear()
    assert all_entries(now) == usual
