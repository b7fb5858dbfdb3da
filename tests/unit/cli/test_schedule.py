"""`jobs schedule`: when the workers would fire."""

from datetime import UTC, datetime

import pytest

from jobs.cli.schedule import all_entries


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
