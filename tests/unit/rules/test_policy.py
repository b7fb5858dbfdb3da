"""Caps, pace, circuit breaker, and the policy that contains them."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError as RuleError

from jobs.rules.caps import Caps, Refusal, check_dispatch
from jobs.rules.pacing import Breaker, Pacing, calls_allowed
from jobs.rules.policy import CampaignPolicy
from jobs.rules.redial import RetryRule, RetryTable
from jobs.rules.states import CampaignStatus, LeadStatus
from jobs.rules.windows import ALWAYS_OPEN, DEFAULT_WINDOWS

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
REPLAY = CampaignPolicy(
    windows=ALWAYS_OPEN,
    retries=RetryTable(no_answer=RetryRule(delay=timedelta(minutes=1))),
    caps=Caps(max_attempts=None, max_per_number=None),
    pacing=Pacing(calls_per_second=None),
    breaker=Breaker(min_calls=10**9),
)


def refusal(**changes: Any) -> Refusal | None:
    """Return the refusal of a call that may be dialed except for these changes."""
    return check_dispatch(
        **{
            "campaign": CampaignStatus.RUNNING,
            "lead": LeadStatus.NEW,
            "suppressed": False,
            "attempts": 0,
            "dials": 0,
            "caps": Caps(),
            "windows": DEFAULT_WINDOWS,
            "zones": ("America/New_York",),
            "region": "US-NY",
            "now": NOON,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"suppressed": True}, Refusal.SUPPRESSED),
        ({"lead": LeadStatus.DNC}, Refusal.SUPPRESSED),
        ({"lead": LeadStatus.INVALID}, Refusal.INVALID_NUMBER),
        ({"zones": ()}, Refusal.UNKNOWN_ZONE),
        ({"zones": ("Mars/Phobos",)}, Refusal.WINDOW),
        ({"now": NIGHT}, Refusal.WINDOW),
        ({"now": NIGHT, "windows": ALWAYS_OPEN}, None),
        ({"zones": (), "windows": ALWAYS_OPEN}, Refusal.UNKNOWN_ZONE),
        ({"attempts": 5, "dials": 2}, None),
        ({"attempts": 6}, Refusal.ATTEMPT_CAP),
        ({"attempts": 6, "caps": Caps(max_attempts=None)}, None),
        ({"dials": 3}, Refusal.NUMBER_CAP),
        ({"dials": 99, "caps": Caps(max_per_number=None)}, None),
        *(
            ({"campaign": status}, Refusal.CAMPAIGN_NOT_RUNNING)
            for status in CampaignStatus
            if status is not CampaignStatus.RUNNING
        ),
    ],
)
def test_dispatch_check_refuses_each_reason(
    changes: dict[str, Any], expected: Refusal | None
) -> None:
    assert refusal(**changes) is expected


_REASONS: dict[str, object] = {
    "suppressed": True,
    "lead": LeadStatus.INVALID,
    "zones": (),
    "attempts": 6,
    "campaign": CampaignStatus.PAUSED,
    "dials": 3,
    "now": NIGHT,
}


@given(st.sets(st.sampled_from(sorted(_REASONS)), min_size=1))
def test_permanent_reason_outranks_temporary_ones(names: set[str]) -> None:
    alone = {refusal(**{name: _REASONS[name]}) for name in names}
    result = refusal(**{name: _REASONS[name] for name in names})
    assert result in alone
    assert result is not None
    assert result.passes is all(reason is not None and reason.passes for reason in alone)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9))
def test_caps_are_never_exceeded(attempts: int, dials: int, most: int, per_number: int) -> None:
    caps = Caps(max_attempts=most, max_per_number=per_number)
    allowed = refusal(attempts=attempts, dials=dials, caps=caps) is None
    assert allowed is (attempts < most and dials < per_number)


@pytest.mark.parametrize(
    ("pacing", "in_flight", "seconds", "expected"),
    [
        (Pacing(), 10**6, 60, 60),
        (Pacing(max_concurrent=10), 4, 60, 6),
        (Pacing(max_concurrent=10), 12, 60, 0),
        (Pacing(max_concurrent=10, calls_per_second=None), 0, 0, 10),
        (Pacing(calls_per_second=0.1), 0, 30, 3),
        (Pacing(calls_per_second=1 / 60), 0, 60, 1),
        (Pacing(calls_per_second=2.5), 0, 1, 2),
        (Pacing(calls_per_second=None), 5, 1, sys.maxsize),
        (Pacing(), 0, 0, 0),
    ],
)
def test_allowed_calls_follow_pace_and_concurrency(
    pacing: Pacing, in_flight: int, seconds: float, expected: int
) -> None:
    assert calls_allowed(pacing, in_flight, timedelta(seconds=seconds)) == expected


@given(
    st.none() | st.integers(1, 100),
    st.none() | st.floats(1 / 60, 1000),
    st.integers(0, 200),
    st.timedeltas(timedelta(0), timedelta(hours=1)),
)
def test_allowed_calls_never_exceed_the_limits(
    most: int | None, pace: float | None, in_flight: int, elapsed: timedelta
) -> None:
    claimed = calls_allowed(Pacing(max_concurrent=most, calls_per_second=pace), in_flight, elapsed)
    assert claimed >= 0
    assert most is None or claimed + in_flight <= max(most, in_flight)
    assert pace is None or claimed <= pace * elapsed.total_seconds() + 1e-6


@pytest.mark.parametrize(
    ("failures", "calls", "trips"),
    [(2, 4, False), (4, 4, False), (2, 5, False), (3, 5, True), (3, 6, True), (0, 0, False)],
)
def test_breaker_trips_at_half_of_at_least_five_calls(
    failures: int, calls: int, trips: bool
) -> None:
    assert Breaker().trips(failures, calls) is trips
    assert Breaker().window == timedelta(seconds=120)


@pytest.mark.parametrize("policy", [CampaignPolicy(), REPLAY])
def test_policy_round_trips_through_json(policy: CampaignPolicy) -> None:
    assert CampaignPolicy.model_validate_json(policy.model_dump_json()) == policy
    assert CampaignPolicy.model_validate(policy.model_dump(mode="json")) == policy


def test_policy_fills_in_defaults_for_missing_rules() -> None:
    stated = CampaignPolicy.model_validate({"caps": {"max_attempts": 2}, "retries": {"busy": None}})
    assert stated.caps == Caps(max_attempts=2)
    assert stated.retries.busy is None
    assert stated.retries.no_answer == RetryTable().no_answer
    assert stated.windows == DEFAULT_WINDOWS


@pytest.mark.parametrize(
    "stated",
    [
        {"cap": {}},
        {"caps": {"max_attempts": 0}},
        {"caps": {"per": 0}},
        {"pacing": {"calls_per_second": 0}},
        {"pacing": {"calls_per_second": "inf"}},
        {"pacing": {"max_concurrent": 0}},
        {"breaker": {"ratio": 50}},
        {"windows": {"rules": [{"region": "Alabama", "week": {}}]}},
    ],
)
def test_invalid_policy_is_rejected(stated: dict[str, object]) -> None:
    with pytest.raises(RuleError):
        CampaignPolicy.model_validate(stated)
