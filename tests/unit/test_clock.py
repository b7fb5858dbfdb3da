"""The business clock: one line that all processes of a run share."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.clock import ScaledClock, SystemClock, clock_from
from jobs.settings import SettingsError

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


@given(rate=st.floats(0.001, 1e6), past=st.floats(0, 1000))
def test_a_clock_comes_back_from_its_text(rate: float, past: float) -> None:
    clock = ScaledClock(START, rate, time.time() - past)

    assert clock_from(str(clock)) == clock


def test_business_time_runs_faster() -> None:
    clock = ScaledClock(START, 3600, time.time() - 2)

    assert START + timedelta(hours=2) <= clock.now() < START + timedelta(hours=4)


def test_a_business_moment_is_mapped_to_real_time() -> None:
    clock = ScaledClock(START, 60, time.time())

    ahead = clock.real_delay(START + timedelta(hours=1))

    assert timedelta(seconds=50) < ahead <= timedelta(seconds=60)
    assert clock.real_delay(START - timedelta(days=1)) == timedelta()
    assert clock.ago(timedelta(seconds=1)) < START


@pytest.mark.parametrize("text", ["", "now", "2026-01-01@2@3", f"{START.isoformat()}@0@1", "a@b@c"])
def test_a_bad_clock_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^JOBS_CLOCK: "):
        ScaledClock.parse(text)


def test_without_a_setting_it_is_the_machines_clock() -> None:
    clock = clock_from(None)

    assert isinstance(clock, SystemClock)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
