"""Explanation of a lead's calling hours for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from jobs.rules.hours.closed_days import holiday_name
from jobs.rules.hours.duties import (
    CandidateRules,
    LegalCap,
    LegalConsent,
    LegalRest,
    caps_for,
    consent_required,
    rest_after_refusal,
    rules_for,
)
from jobs.rules.hours.exceptions import NOTES
from jobs.rules.hours.opening import Verdict, Window, is_open, next_openings
from jobs.rules.hours.place import Place
from jobs.rules.hours.policy import HoursPolicy
from jobs.rules.hours.readings import Reading
from jobs.rules.hours.reasons import describe_source
from jobs.rules.hours.rulebook import rulebook
from jobs.rules.hours.tables import VERSION, Rule, country_of
from jobs.rules.hours.weekdays import WEEKDAY_NAMES, describe_spans
from jobs.rules.zones import load_zone

DISCLAIMER: Final = "not legal advice: check the rules with counsel"
_OUTLOOK: Final = timedelta(days=60)
"""Time in which coming holidays are listed."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Calling hours of a lead, and their grounds.

    Attributes:
        readings: Evidence and its meaning.
        place: Place of the lead.
        policy: Voice and hours of the campaign.
        verdict: Verdict on the time of the explanation.
        rules: Rules for the hours of each candidate, with citation and `checked`.
        openings: Next three windows, in UTC; empty if the place never opens.
        closers: Everything that closes the place or would close it, in words.
        caps: Caps by law.
        consents: Consent that the law asks for.
        rests: Rest by law after a refusal.
        notes: Rules that dialing does not enforce.
        version: Version of the tables.
        disclaimer: Words that go beside every rule.
    """

    readings: tuple[Reading, ...]
    place: Place
    policy: HoursPolicy
    verdict: Verdict
    rules: tuple[CandidateRules, ...]
    openings: tuple[Window, ...]
    closers: tuple[str, ...]
    caps: tuple[LegalCap, ...]
    consents: tuple[LegalConsent, ...]
    rests: tuple[LegalRest, ...]
    notes: tuple[str, ...]
    version: str = VERSION
    disclaimer: str = DISCLAIMER


def explain(place: Place, at: datetime, policy: HoursPolicy) -> Explanation:
    """Return the explanation of a lead's calling hours.

    Args:
        place: Place of the lead.
        at: Time of the explanation, timezone-aware.
        policy: Voice and hours of the campaign.

    Raises:
        ValidationError: The time has no time zone.
    """
    verdict = is_open(place, at, policy)
    rules = rules_for(place, at, policy)
    caps = caps_for(place, at, policy)
    consents = consent_required(place, at, policy)
    rests = rest_after_refusal(place)
    closers = (
        *verdict.reasons,
        *_misunderstood(place),
        *(line for found in rules for rule in found.rules for line in _closed_days(rule, found)),
        *_coming_rules(place, at, policy),
        *(f"more calls than {cap.cap} ({cap.region}: {cap.citation})" for cap in caps),
        *(f"no consent: {duty.text} ({duty.region}: {duty.citation})" for duty in consents),
        *(
            f"a refusal, for {rest.rest.days} days ({rest.region}: {rest.citation})"
            for rest in rests
        ),
    )
    regions = dict.fromkeys(
        name for region in place.regions for name in (country_of(region), region)
    )
    return Explanation(
        readings=place.readings,
        place=place,
        policy=policy,
        verdict=verdict,
        rules=rules,
        openings=next_openings(place, at, policy),
        closers=tuple(dict.fromkeys(closers)),
        caps=caps,
        consents=consents,
        rests=rests,
        notes=tuple(f"{region}: {NOTES[region]}" for region in regions if region in NOTES),
    )


def describe_rule(rule: Rule) -> str:
    """Return the hours of a rule, its citation and the way it was read, on one line."""
    days = rule.week.days
    parts: list[str] = []
    for name, hours in zip(("Mon-Fri", "Sat", "Sun"), (days[0], *days[5:]), strict=True):
        parts.append(f"{name} {describe_spans(hours)}")
    if len(set(days[:5])) > 1:
        parts = [
            f"{name[:3]} {describe_spans(h)}" for name, h in zip(WEEKDAY_NAMES, days, strict=True)
        ]
    if rule.holidays:
        parts.append(f"closed on {' and '.join(sorted(rule.holidays))} holidays")
    if rule.clock is not None:
        parts.append(f"by the clock of {rule.clock}")
    checked = f" [{rule.checked}]" if rule.checked else " [stated by the campaign]"
    return f"{describe_source(rule)}{checked}: {', '.join(parts)}"


def _misunderstood(place: Place) -> Iterator[str]:
    for reading in place.readings:
        if not reading.understood and place.obstacle is None:
            yield f"the {reading.source} is {reading.meaning}"


def _closed_days(rule: Rule, found: CandidateRules) -> Iterator[str]:
    """Yield the weekdays without hours, and the next holiday."""
    source = describe_source(rule)
    closed = [name for name, spans in zip(WEEKDAY_NAMES, rule.week.days, strict=True) if not spans]
    if closed:
        yield f"{', '.join(closed)} ({source})"
    for ahead in range(_OUTLOOK.days):
        day = found.day + ahead * _DAY
        if (name := holiday_name(rule, day)) is not None:
            yield f"holiday {name} on {day} ({source})"
            return


def _coming_rules(place: Place, at: datetime, policy: HoursPolicy) -> Iterator[str]:
    """Yield the rules of the place's regions that come into force later."""
    book = rulebook(policy)
    for candidate in place.candidates:
        day = at.astimezone(load_zone(candidate.zone)).date()
        for region in (country_of(candidate.region), candidate.region):
            for rule in (*book.law.hours.get(region, ()), *book.law.automated.get(region, ())):
                if rule.effective > day:
                    yield f"rule from {rule.effective} on ({describe_source(rule)})"
                if rule.consent is not None and rule.consent.since > day:
                    yield f"consent needed from {rule.consent.since} on ({describe_source(rule)})"
