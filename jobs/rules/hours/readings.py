"""Readings of the evidence about a lead's place, one source at a time."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jobs.rules.hours.clocks import (
    is_no_place,
    is_universal,
    keeps_clock,
    region_of_zone,
    regions_of_clock,
    zones_of_region,
)
from jobs.rules.hours.tables import country_of
from jobs.rules.places import state_of, state_of_postal_code

_NOT_UNDERSTOOD: Final = "not understood: the strictest hours of the country apply"
_CODE_LENGTH: Final = 2
"""Letters of a state's code, such as "WA", which other countries use as well."""
_ZIP: Final = re.compile(
    r"(?P<short>[0-9]{3,5})(?:[- ][0-9]{4}|\.0+)?|(?P<long>[0-9]{7,9})(?:\.0+)?", re.ASCII
)
"""ZIP code or ZIP+4, without up to two leading zeros that a spreadsheet dropped."""


class Source(StrEnum):
    """Source of evidence about a lead's place."""

    NUMBER = "number"
    STATE = "state"
    POSTAL_CODE = "postal code"
    ZONE = "time zone"
    COUNTRY = "country"


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """Region in which a person may be, and a clock there.

    Attributes:
        region: ISO 3166 code: "US-AL" or "FR". For a country whose states have rules
            ("US"), the code of the country means an unknown state.
        zone: IANA zone.
    """

    region: str
    zone: str

    def __str__(self) -> str:
        return f"{self.region} ({self.zone})"


@dataclass(frozen=True, slots=True)
class Reading:
    """Meaning of one piece of evidence.

    Attributes:
        source: Source of the evidence.
        meaning: Meaning in words, without the value.
        candidates: Candidates that the evidence adds.
        understood: False if a value was given and not understood.
    """

    source: Source
    meaning: str
    candidates: tuple[Candidate, ...] = ()
    understood: bool = True


def candidates_of(readings: Iterable[Reading]) -> tuple[Candidate, ...]:
    """Return the candidates of some readings, sorted."""
    return tuple(sorted({candidate for reading in readings for candidate in reading.candidates}))


def regions_in(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """Return the regions of some candidates, sorted."""
    return tuple(sorted({candidate.region for candidate in candidates}))


def zones_in(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """Return the zones of some candidates, sorted."""
    return tuple(sorted({candidate.zone for candidate in candidates}))


def read_number(places: Collection[tuple[str, str]]) -> Reading:
    """Return the reading of a number with these regions and zones."""
    if not places:
        return Reading(Source.NUMBER, "no place, as of a toll-free number")
    candidates = tuple(Candidate(region, zone) for region, zone in places)
    return Reading(Source.NUMBER, ", ".join(regions_in(candidates)), candidates)


def read_state(text: str, *, american: bool) -> Reading:
    """Return the reading of a state or province.

    Args:
        text: The state.
        american: True if two letters mean a state of the US or a province of Canada.
    """
    state = state_of(text) if american or len(text) > _CODE_LENGTH else None
    return _read_region(Source.STATE, state)


def read_postal_code(text: str, *, american: bool) -> Reading:
    """Return the reading of a postal code.

    Args:
        text: The postal code. A US ZIP code gets its leading zeros back.
        american: True if digits mean a ZIP code.
    """
    match = _ZIP.fullmatch(text)
    if match is None:
        return _read_region(Source.POSTAL_CODE, state_of_postal_code(text))
    if not american:
        return _read_region(Source.POSTAL_CODE, None)
    digits = match["short"].zfill(5) if match["short"] else match["long"].zfill(9)[:5]
    return _read_region(Source.POSTAL_CODE, state_of_postal_code(digits))


def read_zone(zone: str, known: Collection[Candidate]) -> Reading:
    """Return the reading of an IANA zone.

    Args:
        zone: The zone.
        known: Candidates of the number, the state and the postal code.
    """
    if is_no_place(zone):
        return Reading(Source.ZONE, "a fixed offset and no place: it can only narrow the hours")
    country = country_of(region_of_zone(zone) or "")
    regions = tuple(
        region
        for region in regions_in(known)
        # Toronto has the clock of New York, but other hours.
        if country_of(region) == country and keeps_clock(region, zone)
    )
    if regions:
        meaning = f"clock of {', '.join(regions)}"
    else:
        regions = regions_of_clock(zone)
        meaning = f"clock of {', '.join(regions)}, and of no other evidence"
    return Reading(Source.ZONE, meaning, tuple(Candidate(region, zone) for region in regions))


def read_country(region: str, zone: str, known: Collection[Candidate]) -> Reading:
    """Return the reading of a country.

    Args:
        region: The country, or a territory of the US.
        zone: IANA zone of the lead; "" if unknown.
        known: Candidates of all other evidence.
    """
    if any(region in (name, country_of(name)) for name in regions_in(known)):
        return Reading(Source.COUNTRY, f"{region}, as other evidence says")
    zones = (zone,) if zone and region_of_zone(zone) == region else zones_of_region(region)
    candidates = tuple(Candidate(region, name) for name in zones)
    return Reading(Source.COUNTRY, f"{region}, unlike all other evidence", candidates)


def unknown_parts(countries: Iterable[str], known: Collection[Candidate]) -> list[Candidate]:
    """Return candidates that stand for an unknown part of countries.

    Args:
        countries: The countries.
        known: Candidates whose zones count; a country without any has all its zones.
    """
    found: list[Candidate] = []
    for country in sorted(countries):
        there = [candidate for candidate in known if country_of(candidate.region) == country]
        zones = zones_in(there) or zones_of_region(country)
        found += [Candidate(country, zone) for zone in zones]
    return found


def fix_offset(zone: str, known: Collection[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates that a zone without a place adds: its clock in every known region.

    UTC adds none: systems write it for a time zone that they do not know.
    """
    if not is_no_place(zone) or is_universal(zone):
        return ()
    return tuple(Candidate(region, zone) for region in regions_in(known))


def _read_region(source: Source, region: str | None) -> Reading:
    if region is None:
        return Reading(source, _NOT_UNDERSTOOD, understood=False)
    return Reading(source, region, tuple(Candidate(region, z) for z in zones_of_region(region)))
