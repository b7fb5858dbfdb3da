"""Business clocks, and the setting that all processes of a run share."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.clock import ScaledClock, SystemClock, clock_from
from jobs.settings import SettingsError

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


@given(rate=st.floats(0.001, 1e6), past=st.floats(0, 1000))
def test_clock_survives_a_round_trip_through_text(rate: float, past: float) -> None:
    clock = ScaledClock(START, rate, time.time() - past)

    assert clock_from(str(clock)) == clock


def test_business_time_runs_at_the_rate() -> None:
    clock = ScaledClock(START, 3600, time.time() - 2)

    assert START + timedelta(hours=2) <= clock.now() < START + timedelta(hours=4)


def test_business_time_converts_to_real_delay() -> None:
    clock = ScaledClock(START, 60, time.time())

    delay = clock.real_delay(START + timedelta(hours=1))

    assert timedelta(seconds=50) < delay <= timedelta(seconds=60)
    assert clock.real_delay(START - timedelta(days=1)) == timedelta()
    assert clock.ago(timedelta(seconds=1)) < START


@pytest.mark.parametrize("text", ["", "now", "2026-01-01@2@3", f"{START.isoformat()}@0@1", "a@b@c"])
def test_bad_clock_is_rejected_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^RINGLINE_CLOCK: "):
        ScaledClock.parse(text)


def test_clock_without_setting_is_the_system_clock() -> None:
    clock = clock_from(None)

    assert isinstance(clock, SystemClock)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
