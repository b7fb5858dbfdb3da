"""Choice of the rules that apply to a region on a local day.

Hours and holidays come from the narrowest region with a rule in force, subdivision before country.
Caps and consent come from every enclosing region with a rule in force.

For an artificial voice, `automated.csv` applies as well. A state listed there without hours is
closed: that is the cautious reading of `a state with no hours there is closed`. A state that is not
listed there has no such statute on record and follows `hours.csv` alone. Read the other way, that
sentence would close all states but ten, and the unknown state would not be empty for the stated
reason (Massachusetts and Wyoming).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache

from jobs.rules.calendar import Spans
from jobs.rules.hours.closed_days import open_spans
from jobs.rules.hours.policy import HoursPolicy
from jobs.rules.hours.tables import (
    Rule,
    RulesByRegion,
    Tables,
    Voice,
    by_region,
    country_of,
    load_tables,
)
from jobs.rules.hours.weekdays import WHOLE_DAY, intersect_spans


@dataclass(frozen=True, eq=False)
class Rulebook:
    """Rules of all regions, for one voice and the hours that a campaign states.

    Attributes:
        policy: Voice and hours of the campaign.
        law: The tables.
    """

    policy: HoursPolicy
    law: Tables

    @cached_property
    def _campaign(self) -> RulesByRegion:
        return by_region(rule for hours in self.policy.lawful_hours for rule in hours.rules())

    @cached_property
    def _parts(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name in sorted({*self.law.hours, *self.law.automated, *self._campaign}):
            if (country := country_of(name)) != name:
                found[country] = (*found.get(country, ()), name)
        return found

    def parts(self, region: str) -> tuple[str, ...]:
        """Return the subdivisions of a country that have rules; empty for a subdivision."""
        return self._parts.get(region, ())

    def hours(self, region: str, day: date) -> tuple[Rule, ...]:
        """Return the rules for the hours of a local day, which must all be open.

        Args:
            region: ISO 3166 code. A country with listed subdivisions means an unknown subdivision,
                which has the rules of all of them.
            day: The local day.

        Returns:
            The rules; empty if the region has none and so is closed.
        """
        narrowest = self._narrowest(region, day)
        if not narrowest:
            return ()
        of_parts = (rule for part in self.parts(region) for rule in self._narrowest(part, day))
        return tuple(dict.fromkeys((*narrowest, *of_parts)))

    def spans(self, region: str, day: date) -> Spans:
        """Return the open time spans of a local day."""
        return _spans(self, region, day)

    def clock(self, region: str) -> str | None:
        """Return the IANA zone in which a region's rules count hours; None means local time.

        An unknown subdivision has local time. Where local clocks can be those of Mississippi, its
        hours by Central Standard Time are wider than the strictest local hours.
        """
        rules = self._campaign.get(region) or self.law.hours.get(region, ())
        return rules[0].clock if rules else None

    def duties(self, region: str, day: date) -> tuple[Rule, ...]:
        """Return the rules in force of a region and its country, whose caps and consent bind.

        An unknown subdivision is bound by the rules of all subdivisions. Hours that a campaign
        states do not replace caps and consent.
        """
        tables = [self.law.hours]
        if self.policy.voice is Voice.ARTIFICIAL:
            tables.append(self.law.automated)
        regions = dict.fromkeys((country_of(region), region, *self.parts(region)))
        return tuple(
            rule for name in regions for rules in tables for rule in _in_force(rules, name, day)
        )

    def _narrowest(self, region: str, day: date) -> tuple[Rule, ...]:
        country = country_of(region)
        if stated := self._campaign.get(region):
            return stated
        found = (
            _in_force(self.law.hours, region, day)
            or self._campaign.get(country, ())
            or _in_force(self.law.hours, country, day)
        )
        if found and self.policy.voice is Voice.ARTIFICIAL:
            return found + _in_force(self.law.automated, region, day)
        return found


def rulebook(policy: HoursPolicy) -> Rulebook:
    """Return the rules for a campaign; equal policies share one rulebook."""
    return _rulebook(policy)  # pyright: ignore[reportArgumentType]  # frozen by model_config


@lru_cache(maxsize=256)
def _rulebook(policy: HoursPolicy) -> Rulebook:
    return Rulebook(policy, load_tables())


def _in_force(rules: RulesByRegion, region: str, day: date) -> tuple[Rule, ...]:
    """Return the rule of a region in force on a local day, as a tuple of at most one."""
    return next(((rule,) for rule in rules.get(region, ()) if rule.effective <= day), ())


@lru_cache(maxsize=32768)
def _spans(book: Rulebook, region: str, day: date) -> Spans:
    rules = book.hours(region, day)
    spans: Spans = WHOLE_DAY if rules else ()
    for rule in rules:
        spans = intersect_spans(spans, open_spans(rule, day))
    return spans
