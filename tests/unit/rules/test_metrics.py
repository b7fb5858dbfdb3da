"""Call metrics."""

from dataclasses import asdict, fields
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.rules.metrics import Sums, derive

BANK = Sums(
    attempts=124_956,
    answered=45_211,
    answered_by_human=45_211,
    conversions=5_289,
    seconds=11_671_811,
    handled=45_211,
    leads=45_211,
    leads_tried=45_211,
    leads_reached=45_211,
    price=Decimal("528.90"),
    open_window_hours=12_495.6,
    abandoned=0,
)


def test_empty_sums_have_no_ratios() -> None:
    assert set(asdict(derive(Sums())).values()) == {None}


def test_metrics_follow_their_formulas() -> None:
    sums = Sums(
        attempts=200,
        answered=80,
        answered_by_human=50,
        abandoned=1,
        conversions=10,
        seconds=8_000,
        hold_seconds=500,
        wrap_seconds=1_500,
        handled=40,
        price=Decimal("25.00"),
        leads=125,
        leads_tried=100,
        leads_reached=45,
        open_window_hours=40,
    )
    assert asdict(derive(sums)) == {
        "asr": 0.4,
        "live_answer_rate": 0.25,
        "contact_rate": 0.36,
        "penetration": 0.8,
        "saturation": 1.6,
        "acd": 100.0,
        "aht": 250.0,
        "conversion_per_attempt": 0.05,
        "conversion_per_contact": 0.2,
        "conversion_per_lead": 0.08,
        "attempts_per_lead": 2.0,
        "calls_per_hour": 5.0,
        "cost_per_conversion": 2.5,
        "abandon_rate": 0.02,
    }


def test_bank_campaign_has_the_published_figures() -> None:
    metrics = derive(BANK)
    assert metrics.acd is not None
    assert round(metrics.acd, 6) == 258.163080
    assert metrics.attempts_per_lead is not None
    assert round(metrics.attempts_per_lead, 6) == 2.763841
    assert metrics.abandon_rate == 0.0
    assert metrics.cost_per_conversion == pytest.approx(0.1)


DENOMINATORS = {
    "asr": "attempts",
    "live_answer_rate": "attempts",
    "contact_rate": "leads",
    "penetration": "leads",
    "saturation": "leads",
    "acd": "answered",
    "aht": "handled",
    "conversion_per_attempt": "attempts",
    "conversion_per_contact": "answered_by_human",
    "conversion_per_lead": "leads",
    "attempts_per_lead": "leads_tried",
    "calls_per_hour": "open_window_hours",
    "cost_per_conversion": "conversions",
    "abandon_rate": "answered_by_human",
}


@given(st.fixed_dictionaries({f.name: st.integers(0, 3) for f in fields(Sums)}))
def test_ratio_is_none_if_and_only_if_its_denominator_is_zero(counts: dict[str, int]) -> None:
    price = Decimal(counts.pop("price"))
    metrics = asdict(derive(Sums(**counts, price=price)))
    assert {name for name, value in metrics.items() if value is None} == {
        name for name, denominator in DENOMINATORS.items() if counts[denominator] == 0
    }
