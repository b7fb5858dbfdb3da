"""Place of a lead: every region and zone in which its evidence allows the person to be.

- Number, state and postal code name regions.
- A zone names a clock. If no region named by them keeps this clock, the zone stands for every
  region of its country that does.
- A country stands for an unknown part of it, unless a region named by other evidence lies in it.
- A state or postal code that is not understood stands for an unknown part of the country.

More evidence adds candidates and removes none, with one exception: a region that explains a zone or
country replaces the candidates for which these stood.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from jobs.errors import ValidationError
from jobs.rules.hours.clocks import SUBDIVIDED, region_of_country, region_of_zone
from jobs.rules.hours.exceptions import BOUND_BY_NUMBER
from jobs.rules.hours.numbering import country_of_number, parse_number, places_of_number
from jobs.rules.hours.readings import (
    Candidate,
    Reading,
    Source,
    candidates_of,
    fix_offset,
    read_country,
    read_number,
    read_postal_code,
    read_state,
    read_zone,
    regions_in,
    unknown_parts,
    zones_in,
)
from jobs.rules.hours.tables import country_of
from jobs.rules.zones import normalize_timezone

NO_PLACE: Final = "no evidence names a place"
BAD_ZONE: Final = "the time zone is not an IANA name such as America/New_York"
BAD_COUNTRY: Final = "the country is not an ISO 3166 code such as US"


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a lead, which may be called only while every candidate is open.

    Attributes:
        readings: Readings of the evidence.
        candidates: Candidates, sorted; empty if the lead has no place.
        obstacle: Reason for having no place; None if there are candidates.
    """

    readings: tuple[Reading, ...]
    candidates: tuple[Candidate, ...]
    obstacle: str | None = None

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions of the candidates, sorted."""
        return regions_in(self.candidates)

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones of the candidates, sorted."""
        return zones_in(self.candidates)


@lru_cache(maxsize=65536)
def evidence_of(
    *,
    number: str | None = None,
    state: str | None = None,
    postal_code: str | None = None,
    zone: str | None = None,
    country: str | None = None,
) -> Place:
    """Return the place of a lead. Blank evidence counts as missing.

    Args:
        number: Phone number in E.164.
        state: State or province of the US or Canada, as a code or name.
        postal_code: US ZIP code, also without its leading zeros, or Canadian postal code.
        zone: IANA time zone, in any case.
        country: ISO 3166-1 alpha-2 code.
    """
    number, state, postal_code, zone, country = (
        (text or "").strip() for text in (number, state, postal_code, zone, country)
    )
    region = region_of_country(country.upper()) if country else ""
    if region is None:
        return _nowhere(Source.COUNTRY, BAD_COUNTRY)
    try:
        zone = normalize_timezone(zone) if zone else ""
    except ValidationError:
        return _nowhere(Source.ZONE, BAD_ZONE)
    parsed = parse_number(number) if number else None
    of_number = country_of_number(parsed) if parsed else None
    countries = {country_of(name) for name in (region, of_number) if name}
    american = _is_american(countries, zone, state, postal_code)
    readings: list[Reading] = []
    if number:
        readings.append(read_number(places_of_number(parsed) if parsed else ()))
    if state:
        readings.append(read_state(state, american=american))
    if postal_code:
        readings.append(read_postal_code(postal_code, american=american))
    if zone:
        readings.append(read_zone(zone, candidates_of(readings)))
    if region:
        readings.append(read_country(region, zone, candidates_of(readings)))
    return _assemble(readings, countries, zone)


def _is_american(countries: set[str], zone: str, state: str, postal_code: str) -> bool:
    """Return True if "WA" means Washington and 2134 a ZIP code: not if all else is Australian."""
    in_zone = region_of_zone(zone) if zone else None
    named = countries | {country_of(in_zone)} if in_zone else countries
    return (
        not named
        or bool(named & SUBDIVIDED)
        or read_state(state, american=False).understood
        or read_postal_code(postal_code, american=False).understood
    )


def _assemble(readings: list[Reading], countries: set[str], zone: str) -> Place:
    """Return the place of some readings, with the candidates that follow from all of them.

    Args:
        readings: The readings.
        countries: Countries that the number and the lead's country name.
        zone: IANA zone of the lead; "" if unknown.
    """
    candidates = set(candidates_of(readings))
    if not all(reading.understood for reading in readings):
        countries |= {country_of(region) for region in regions_in(candidates)}
        candidates |= set(unknown_parts(countries, candidates))
    candidates |= set(fix_offset(zone, candidates))
    by_number = candidates_of(reading for reading in readings if reading.source is Source.NUMBER)
    bound = BOUND_BY_NUMBER.intersection(regions_in(by_number))
    candidates |= {Candidate(region, name) for region in bound for name in zones_in(candidates)}
    return Place(tuple(readings), tuple(sorted(candidates)), None if candidates else NO_PLACE)


def _nowhere(source: Source, reason: str) -> Place:
    return Place((Reading(source, reason, understood=False),), (), reason)
