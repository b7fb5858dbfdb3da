"""Caps, consent and rest that the law adds to the hours."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from jobs.rules.hours.exceptions import REST_AFTER_REFUSAL
from jobs.rules.hours.place import Place
from jobs.rules.hours.policy import HoursPolicy
from jobs.rules.hours.readings import Candidate
from jobs.rules.hours.rulebook import rulebook
from jobs.rules.hours.tables import Cap, Rule, country_of
from jobs.rules.zones import load_zone


@dataclass(frozen=True, slots=True)
class LegalCap:
    """Cap by law on calls to one person.

    Attributes:
        region: Region of the rule.
        cap: Maximum number of calls.
        citation: The law.
    """

    region: str
    cap: Cap
    citation: str


@dataclass(frozen=True, slots=True)
class LegalConsent:
    """Consent that the law asks for.

    Attributes:
        region: Region of the rule.
        text: Kind of consent.
        citation: The law.
    """

    region: str
    text: str
    citation: str


@dataclass(frozen=True, slots=True)
class LegalRest:
    """Rest by law after a person refuses.

    Attributes:
        region: Region of the rule.
        rest: Length of the rest.
        citation: The law.
    """

    region: str
    rest: timedelta
    citation: str


@dataclass(frozen=True, slots=True)
class CandidateRules:
    """Rules for the hours of one candidate on its local day; empty if the candidate is closed.

    Attributes:
        candidate: The candidate.
        day: Its local day.
        rules: Rules that must all be open.
    """

    candidate: Candidate
    day: date
    rules: tuple[Rule, ...]


def rules_for(place: Place, at: datetime, policy: HoursPolicy) -> tuple[CandidateRules, ...]:
    """Return the rules for the hours of each candidate.

    Args:
        place: Place of the lead.
        at: A time within the local days, timezone-aware.
        policy: Voice and hours of the campaign.
    """
    book = rulebook(policy)
    found: list[CandidateRules] = []
    for candidate in place.candidates:
        day = _local_day(book.clock(candidate.region) or candidate.zone, at)
        found.append(CandidateRules(candidate, day, book.hours(candidate.region, day)))
    return tuple(found)


def caps_for(place: Place, at: datetime, policy: HoursPolicy) -> tuple[LegalCap, ...]:
    """Return the caps by law, which must all be kept.

    Args:
        place: Place of the lead.
        at: A time within the local days, timezone-aware.
        policy: Voice and hours of the campaign.
    """
    return tuple(
        LegalCap(rule.region, rule.cap, rule.citation)
        for rule, _ in _duties(place, at, policy)
        if rule.cap is not None
    )


def consent_required(place: Place, at: datetime, policy: HoursPolicy) -> tuple[LegalConsent, ...]:
    """Return the consent that the law asks for; empty if it asks for none.

    Args:
        place: Place of the lead.
        at: A time within the local days, timezone-aware.
        policy: Voice and hours of the campaign.
    """
    found = (
        LegalConsent(rule.region, rule.consent.text, rule.citation)
        for rule, day in _duties(place, at, policy)
        if rule.consent is not None and rule.consent.binds(policy.voice, day)
    )
    return tuple(dict.fromkeys(found))


def rest_after_refusal(place: Place) -> tuple[LegalRest, ...]:
    """Return the rest by law after a person refuses; empty if the law asks for none."""
    regions = dict.fromkeys(
        name for region in place.regions for name in (country_of(region), region)
    )
    return tuple(
        LegalRest(region, *REST_AFTER_REFUSAL[region])
        for region in regions
        if region in REST_AFTER_REFUSAL
    )


def _duties(place: Place, at: datetime, policy: HoursPolicy) -> tuple[tuple[Rule, date], ...]:
    """Return the rules in force on the candidates' local days, once per rule and day."""
    book = rulebook(policy)
    found: dict[tuple[Rule, date], None] = {}
    for candidate in place.candidates:
        day = _local_day(candidate.zone, at)
        found |= {(rule, day): None for rule in book.duties(candidate.region, day)}
    return tuple(found)


def _local_day(zone: str, at: datetime) -> date:
    return at.astimezone(load_zone(zone)).date()
