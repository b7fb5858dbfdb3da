"""Lead scoring: points from 0 to 100 by a rule set that is data.

A score uses only facts known before the call. The same facts, rule set and time give the same
score.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from jobs.rules.frozen import Frozen
from jobs.rules.numbers import Temperature
from jobs.rules.states import LeadStatus

MIN_HOT: Final = 70
MIN_NEUTRAL: Final = 40
MAX_POINTS: Final = 100

POST_CALL_COLUMNS: Final = frozenset({"duration", "campaign", "y"})
"""Columns filled only after a call: scoring on them would leak the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadFacts:
    """Facts about a lead that a score may use.

    Attributes:
        status: Status of the lead.
        created_at: Time of creation, timezone-aware.
        has_email: True if the email address is known.
        has_name: True if the name is known.
        number_valid: True if the phone number is valid.
        suppressed: True if the number is on the suppression list.
        tags: Keys of the tags.
        attributes: Columns of the lead, by name.
    """

    status: LeadStatus
    created_at: datetime
    has_email: bool = False
    has_name: bool = False
    number_valid: bool = True
    suppressed: bool = False
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Contribution of one rule to a score.

    Attributes:
        rule: Name of the rule.
        points: Points, possibly negative.
        evidence: Facts that matched the rule, in words.
    """

    rule: str
    points: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Score:
    """Score of a lead.

    Attributes:
        points: 0 to 100.
        temperature: Rating that the points amount to.
        evidence: Contributions of the rules that matched.
        ruleset_version: Version of the rule set.
        disqualified: True if the lead must not or cannot be called, regardless of points.
    """

    points: int
    temperature: Temperature
    evidence: tuple[Evidence, ...]
    ruleset_version: str
    disqualified: bool = False


def _check_known_before_call(attribute: str) -> str:
    if attribute in POST_CALL_COLUMNS:
        raise ValueError(f"{attribute!r} is known only after the call: score on another column")
    return attribute


_Attribute = Annotated[str, Field(min_length=1), AfterValidator(_check_known_before_call)]


class Has(Frozen):
    """Condition: the lead has an email address, or a name."""

    has: Literal["email", "name"]

    def match(self, facts: LeadFacts, as_of: datetime) -> str | None:
        """Return the evidence in words if the condition holds, else None."""
        is_known = facts.has_email if self.has == "email" else facts.has_name
        return f"has a known {self.has}" if is_known else None


class Tagged(Frozen):
    """Condition: the lead has one of these tags, given by key."""

    tags: tuple[str, ...]

    def match(self, facts: LeadFacts, as_of: datetime) -> str | None:
        matches = sorted(facts.tags.intersection(self.tags))
        return f"tagged {', '.join(matches)}" if matches else None


class OneOf(Frozen):
    """Condition: an attribute has one of these values, compared as case-folded text."""

    attribute: _Attribute
    values: tuple[str, ...]

    def match(self, facts: LeadFacts, as_of: datetime) -> str | None:
        value = facts.attributes.get(self.attribute)
        if value is None:
            return None
        text = str(value).strip().casefold()
        return f"{self.attribute} is {text}" if text in self.values else None


class Between(Frozen):
    """Condition: an attribute is a number in [at_least, below); None means no bound."""

    attribute: _Attribute
    at_least: FiniteFloat | None = None
    below: FiniteFloat | None = None

    def match(self, facts: LeadFacts, as_of: datetime) -> str | None:
        number = _number(facts.attributes.get(self.attribute))
        if number is None or (self.at_least is not None and number < self.at_least):
            return None
        if self.below is not None and number >= self.below:
            return None
        return f"{self.attribute} is {number:g}"


class YoungerThan(Frozen):
    """Condition: the lead was created less than `younger_than` ago."""

    younger_than: timedelta

    def match(self, facts: LeadFacts, as_of: datetime) -> str | None:
        recent = as_of - facts.created_at < self.younger_than
        return f"created less than {self.younger_than.days} days ago" if recent else None


class Rule(Frozen):
    """Scoring rule: gives points, possibly negative, to a lead that meets the condition `when`."""

    name: str
    points: int
    when: Has | Tagged | OneOf | Between | YoungerThan


class RuleSet(Frozen):
    """Scoring rules with unique names.

    Attributes:
        version: Changes whenever a rule changes, and is stored with each score.
        rules: The rules, in the order of their evidence.
    """

    version: Annotated[str, Field(min_length=1)]
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _check_unique_names(self) -> "RuleSet":
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("two rules of a rule set have the same name: rename one")
        return self


def score(facts: LeadFacts, as_of: datetime, rules: RuleSet | None = None) -> Score:
    """Return the score of a lead.

    points = min(100, max(0, sum of the points of all matching rules)). A lead that asked not to
    be called or has no valid number scores 0, is cold and is disqualified.

    Args:
        facts: Facts about the lead.
        as_of: Time for which ages are computed, timezone-aware.
        rules: The rule set; None means DEFAULT_RULES.
    """
    rules = rules or DEFAULT_RULES
    disqualification = _disqualification(facts)
    if disqualification is not None:
        return Score(0, Temperature.COLD, (disqualification,), rules.version, disqualified=True)
    evidence = tuple(
        Evidence(rule.name, rule.points, text)
        for rule in rules.rules
        if (text := rule.when.match(facts, as_of)) is not None
    )
    points = max(0, min(MAX_POINTS, sum(item.points for item in evidence)))
    return Score(points, temperature_of(points), evidence, rules.version)


def temperature_of(points: int) -> Temperature:
    """Return the rating of points: hot from 70, neutral from 40, cold below."""
    if points >= MIN_HOT:
        return Temperature.HOT
    return Temperature.NEUTRAL if points >= MIN_NEUTRAL else Temperature.COLD


def _disqualification(facts: LeadFacts) -> Evidence | None:
    if facts.suppressed or facts.status is LeadStatus.DNC:
        return Evidence("do_not_call", 0, "asked not to be called")
    if not facts.number_valid or facts.status is LeadStatus.INVALID:
        return Evidence("invalid_number", 0, "has no valid phone number")
    return None


def _number(value: str | float | bool | None) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


_YES: Final = ("yes", "true", "1", "y")


def _one_of(name: str, points: int, attribute: str, *values: str) -> Rule:
    return Rule(name=name, points=points, when=OneOf(attribute=attribute, values=values))


def _at_least(name: str, points: int, attribute: str, number: float) -> Rule:
    return Rule(name=name, points=points, when=Between(attribute=attribute, at_least=number))


# The attributes from `age` on are columns of the UCI Bank Marketing data. A rule on an attribute
# that a lead lacks does not match.
DEFAULT_RULES: Final = RuleSet(
    version="2026-11-1",
    rules=(
        Rule(name="e-mail", points=10, when=Has(has="email")),
        Rule(name="name", points=5, when=Has(has="name")),
        _one_of("consent", 20, "consent", *_YES),
        _one_of("referred", 15, "source", "referral", "partner"),
        _one_of("asked for a demo", 25, "demo_requested", *_YES),
        _at_least("reads e-mails", 10, "email_opens", 3),
        _at_least("follows links", 15, "email_clicks", 1),
        _at_least("visits", 10, "visits", 3),
        Rule(name="marked hot", points=25, when=Tagged(tags=("hot", "vip"))),
        Rule(name="marked cold", points=-25, when=Tagged(tags=("cold",))),
        Rule(name="new", points=10, when=YoungerThan(younger_than=timedelta(days=30))),
        Rule(name="young", points=10, when=Between(attribute="age", at_least=18, below=30)),
        _at_least("senior", 15, "age", 60),
        _one_of("open to offers", 10, "job", "student", "retired", "management"),
        _at_least("has savings", 10, "balance", 1000),
        Rule(name="overdrawn", points=-10, when=Between(attribute="balance", below=0)),
        _one_of("in default", -20, "default", *_YES),
        _one_of("free of a mortgage", 10, "housing", "no"),
        _one_of("bought before", 40, "poutcome", "success"),
        _one_of("declined before", -5, "poutcome", "failure"),
        _at_least("known from before", 10, "previous", 1),
    ),
)
