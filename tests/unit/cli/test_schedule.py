"""`ringline schedule`: next fire times."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.cli.commands.schedule import all_entries
from jobs.settings import get_settings


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
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
def test_cron_without_a_zone_uses_the_machines_zone(
    zone: str, housekeeping: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    entries = {entry.name: entry for entry in all_entries(datetime(2026, 11, 29, 2, tzinfo=UTC))}
    shown = entries["cron:default.housekeeping"]
    assert shown.zone == zone
    assert shown.next_run.replace(microsecond=0) == housekeeping
    assert entries["cron:analytics.report_day"].zone == "UTC"


def test_custom_default_queue_keeps_all_schedules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2026, 11, 29, 2, tzinfo=UTC)
    expected = all_entries(now)
    monkeypatch.setenv("TASK_DEFAULT_QUEUE", "background")
    get_settings.cache_clear()
    assert all_entries(now) == expected


@pytest.mark.parametrize(
    "arguments", [[], ["list"], ["list", "--json"], ["--json"], ["--json", "list"]]
)
def test_the_crons_are_listed(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["schedule", *arguments])

    assert result.exit_code == 0
    assert "cron:campaign.tick" in result.stdout
    assert result.stdout.startswith("{") == ("--json" in arguments)
