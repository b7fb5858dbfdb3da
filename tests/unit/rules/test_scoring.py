"""Lead scores."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError as RuleError

from jobs.rules.numbers import Temperature
from jobs.rules.scoring import (
    DEFAULT_RULES,
    POST_CALL_COLUMNS,
    Between,
    Has,
    LeadFacts,
    OneOf,
    Rule,
    RuleSet,
    Tagged,
    score,
    temperature_of,
)
from jobs.rules.states import LeadStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=900)
COLUMNS = (
    *("age", "job", "balance", "default", "housing", "poutcome", "previous"),
    *("consent", "source", "visits"),
    *sorted(POST_CALL_COLUMNS),
)
values = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats()
    | st.sampled_from(["yes", "no", "success", "failure", "retired", "referral", "", "Yes ", "61"])
)
attributes = st.dictionaries(st.sampled_from(COLUMNS), values)
facts = st.builds(
    LeadFacts,
    status=st.sampled_from(LeadStatus),
    created_at=st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 23), timezones=st.just(UTC)),  # noqa: DTZ001  # Hypothesis adds the zone
    has_email=st.booleans(),
    has_name=st.booleans(),
    number_valid=st.booleans(),
    suppressed=st.booleans(),
    tags=st.frozensets(st.sampled_from(["hot", "cold", "vip", "other"])),
    attributes=attributes,
)


def lead(**known: Any) -> LeadFacts:
    return LeadFacts(**{"status": LeadStatus.NEW, "created_at": LONG_AGO, **known})


def one_rule(points: int) -> RuleSet:
    return RuleSet(version="test", rules=(Rule(name="it", points=points, when=Has(has="name")),))


@given(facts)
def test_score_is_deterministic(known: LeadFacts) -> None:
    assert score(known, NOW) == score(known, NOW)


@given(facts)
def test_score_is_the_clamped_sum_of_its_evidence(known: LeadFacts) -> None:
    result = score(known, NOW)
    assert result.points == max(0, min(100, sum(item.points for item in result.evidence)))
    assert result.temperature is temperature_of(result.points)
    assert result.ruleset_version == DEFAULT_RULES.version
    assert all(item.evidence for item in result.evidence)


@given(facts, st.randoms(use_true_random=False))
def test_score_ignores_the_order_of_attributes(known: LeadFacts, random: Any) -> None:
    shuffled = list(known.attributes.items())
    random.shuffle(shuffled)
    again = lead(
        status=known.status,
        created_at=known.created_at,
        has_email=known.has_email,
        has_name=known.has_name,
        number_valid=known.number_valid,
        suppressed=known.suppressed,
        tags=frozenset(sorted(known.tags, reverse=True)),
        attributes=dict(shuffled),
    )
    assert score(again, NOW) == score(known, NOW)


@given(facts, st.sampled_from(sorted(POST_CALL_COLUMNS)), values)
def test_score_ignores_post_call_columns(known: LeadFacts, column: str, value: Any) -> None:
    known_later = lead(attributes={**known.attributes, column: value})
    without = {name: seen for name, seen in known.attributes.items() if name != column}
    assert score(known_later, NOW) == score(lead(attributes=without), NOW)


@pytest.mark.parametrize("column", sorted(POST_CALL_COLUMNS))
def test_rule_on_a_post_call_column_is_rejected(column: str) -> None:
    with pytest.raises(RuleError, match="after the call"):
        OneOf(attribute=column, values=("yes",))
    with pytest.raises(RuleError, match="after the call"):
        Between(attribute=column, at_least=1)


@given(facts)
def test_lead_that_must_not_or_cannot_be_called_is_disqualified(known: LeadFacts) -> None:
    result = score(known, NOW)
    barred = known.suppressed or known.status is LeadStatus.DNC
    unreachable = not known.number_valid or known.status is LeadStatus.INVALID
    assert result.disqualified is (barred or unreachable)
    if result.disqualified:
        rule = "do_not_call" if barred else "invalid_number"
        assert [(item.rule, item.points) for item in result.evidence] == [(rule, 0)]
        assert (result.points, result.temperature) == (0, Temperature.COLD)


@pytest.mark.parametrize(
    ("points", "clamped", "temperature"),
    [
        (-5, 0, "cold"),
        (39, 39, "cold"),
        (40, 40, "neutral"),
        (69, 69, "neutral"),
        (70, 70, "hot"),
        (100, 100, "hot"),
        (250, 100, "hot"),
    ],
)
def test_points_are_clamped_and_decide_the_temperature(
    points: int, clamped: int, temperature: str
) -> None:
    result = score(lead(has_name=True), NOW, one_rule(points))
    assert (result.points, result.temperature) == (clamped, temperature)


def test_lead_without_facts_scores_zero() -> None:
    result = score(lead(), NOW)
    assert (result.points, result.evidence) == (0, ())


def test_lead_without_bank_data_can_become_hot() -> None:
    result = score(
        lead(
            has_email=True,
            has_name=True,
            created_at=NOW - timedelta(days=2),
            attributes={"consent": True, "demo_requested": "yes", "email_clicks": "4"},
        ),
        NOW,
    )
    assert result.temperature is Temperature.HOT
    assert [item.rule for item in result.evidence] == [
        "e-mail",
        "name",
        "consent",
        "asked for a demo",
        "follows links",
        "new",
    ]


def test_bank_data_separates_promising_from_poor_leads() -> None:
    promising = {"age": 66, "job": "retired", "balance": 2500, "housing": "no", "previous": 2}
    poor = {"age": 40, "job": "blue-collar", "balance": -20, "housing": "yes", "default": "yes"}
    bought = score(lead(attributes={**promising, "poutcome": "success"}), NOW)
    assert bought.temperature is Temperature.HOT
    assert score(lead(attributes=promising), NOW).temperature is Temperature.NEUTRAL
    assert score(lead(attributes=poor), NOW).points == 0


def test_evidence_names_the_matched_facts() -> None:
    known = lead(tags=frozenset({"vip", "hot"}), attributes={"poutcome": "Success ", "age": "61"})
    seen = {item.rule: item.evidence for item in score(known, NOW).evidence}
    assert seen["marked hot"] == "tagged hot, vip"
    assert seen["bought before"] == "poutcome is success"
    assert seen["senior"] == "age is 61"


def test_rule_set_round_trips_through_json() -> None:
    assert RuleSet.model_validate_json(DEFAULT_RULES.model_dump_json()) == DEFAULT_RULES


def test_invalid_rule_set_is_rejected() -> None:
    rule = Rule(name="twice", points=1, when=Tagged(tags=("x",)))
    with pytest.raises(RuleError, match="same name"):
        RuleSet(version="1", rules=(rule, rule))
    with pytest.raises(RuleError):
        RuleSet(version="", rules=())
