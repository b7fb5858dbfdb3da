"""How promising a lead is, in points, by a rule set that is data.

Only what is known before a call counts. The same lead, rule set and moment give the same score.
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

HOT_FROM: Final = 70
NEUTRAL_FROM: Final = 40
MOST: Final = 100

KNOWN_TOO_LATE: Final = frozenset({"duration", "campaign", "y"})
"""Columns of a call's result: a score that read them would tell the past as if it were foreseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadFacts:
    """What a score may depend on. tags: their keys. created_at: timezone-aware."""

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
    """A rule that gave points, and what it saw."""

    rule: str
    points: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Score:
    """points: 0 to 100. disqualified: the lead must not or cannot be called, whatever it scored."""

    points: int
    temperature: Temperature
    evidence: tuple[Evidence, ...]
    ruleset_version: str
    disqualified: bool = False


def _in_time(attribute: str) -> str:
    if attribute in KNOWN_TOO_LATE:
        raise ValueError(f"{attribute!r} is known only after the call, so it cannot count before")
    return attribute


_Attribute = Annotated[str, Field(min_length=1), AfterValidator(_in_time)]


class Has(Frozen):
    """The lead has an e-mail address, or a name."""

    has: Literal["email", "name"]

    def seen(self, facts: LeadFacts, as_of: datetime) -> str | None:
        there = facts.has_email if self.has == "email" else facts.has_name
        return f"has a known {self.has}" if there else None


class Tagged(Frozen):
    """The lead has one of these tags, given by their keys."""

    tags: tuple[str, ...]

    def seen(self, facts: LeadFacts, as_of: datetime) -> str | None:
        found = sorted(facts.tags.intersection(self.tags))
        return f"tagged {', '.join(found)}" if found else None


class OneOf(Frozen):
    """An attribute has one of these values, compared as case-folded text; True is "true"."""

    attribute: _Attribute
    values: tuple[str, ...]

    def seen(self, facts: LeadFacts, as_of: datetime) -> str | None:
        value = facts.attributes.get(self.attribute)
        if value is None:
            return None
        text = str(value).strip().casefold()
        return f"{self.attribute} is {text}" if text in self.values else None


class Between(Frozen):
    """An attribute is a number, or the text of one, in [at_least, below); None is no bound."""

    attribute: _Attribute
    at_least: FiniteFloat | None = None
    below: FiniteFloat | None = None

    def seen(self, facts: LeadFacts, as_of: datetime) -> str | None:
        number = _number(facts.attributes.get(self.attribute))
        if number is None or (self.at_least is not None and number < self.at_least):
            return None
        if self.below is not None and number >= self.below:
            return None
        return f"{self.attribute} is {number:g}"


class Younger(Frozen):
    """The lead was created less than so long ago."""

    younger_than: timedelta

    def seen(self, facts: LeadFacts, as_of: datetime) -> str | None:
        recent = as_of - facts.created_at < self.younger_than
        return f"created less than {self.younger_than.days} days ago" if recent else None


class Rule(Frozen):
    """So many points, which may be negative, to a lead of which `when` holds."""

    name: str
    points: int
    when: Has | Tagged | OneOf | Between | Younger


class RuleSet(Frozen):
    """version: changes whenever a rule does, so that a stored score says what it is of."""

    version: Annotated[str, Field(min_length=1)]
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "RuleSet":
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("two rules of a rule set have the same name")
        return self


def score(facts: LeadFacts, as_of: datetime, rules: RuleSet | None = None) -> Score:
    """The lead's score at `as_of`, by the default rule set where none is given."""
    rules = rules or DEFAULT_RULES
    barred = _disqualification(facts)
    if barred is not None:
        return Score(0, Temperature.COLD, (barred,), rules.version, disqualified=True)
    evidence = tuple(
        Evidence(rule.name, rule.points, seen)
        for rule in rules.rules
        if (seen := rule.when.seen(facts, as_of)) is not None
    )
    points = max(0, min(MOST, sum(item.points for item in evidence)))
    return Score(points, temperature_of(points), evidence, rules.version)


def temperature_of(points: int) -> Temperature:
    """hot from 70 points, neutral from 40."""
    if points >= HOT_FROM:
        return Temperature.HOT
    return Temperature.NEUTRAL if points >= NEUTRAL_FROM else Temperature.COLD


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


# The attributes from `age` on are columns of bank data; a lead that lacks them gains and loses
# nothing by them.
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
        Rule(name="new", points=10, when=Younger(younger_than=timedelta(days=30))),
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
