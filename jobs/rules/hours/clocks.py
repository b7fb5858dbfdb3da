"""Time zones as clocks, and the countries and states that keep them.

Countries and links come from the tables of the pinned `tzdata` package.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from jobs.rules.places import zones_of_state
from jobs.rules.zones import ZONES

_FOLDER: Final = files("tzdata").joinpath("zoneinfo")
_ABBREVIATION: Final = re.compile(r"<[^>]*>|[A-Za-z]{3,}")
_NO_PLACE: Final = re.compile(
    r"Etc/.*|EST|MST|HST|GMT([+-]?0)?|UTC|UCT|Universal|Zulu|Greenwich", re.ASCII
)
_POSIX_NAMES: Final = frozenset({"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT"})
"""Clocks of the US without a place in the tables."""

_STATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "US": "AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN MO MP"
        " MS MT NC ND NE NH NJ NM NV NY OH OK OR PA PR RI SC SD TN TX UT VA VI VT WA WI WV WY",
        "CA": "AB BC MB NB NL NS NT NU ON PE QC SK YT",
    }
)
STATES: Final = tuple(
    f"{country}-{state}" for country, states in _STATES.items() for state in states.split()
)
"""States, territories and provinces that have zones in `jobs.rules.places`."""
SUBDIVIDED: Final = frozenset(_STATES)
"""Countries whose states are told apart."""
_TERRITORIES: Final[Mapping[str, str]] = MappingProxyType(
    {territory: f"US-{territory}" for territory in ("AS", "GU", "MP", "PR", "VI")}
)
"""States of the US that also have a country code in ISO 3166-1."""


def is_no_place(zone: str) -> bool:
    """Return True if a zone is a fixed UTC offset, which people state without living in it."""
    return _NO_PLACE.fullmatch(zone) is not None


def is_universal(zone: str) -> bool:
    """Return True if a zone is UTC or another name of it."""
    return is_no_place(zone) and _rule(zone) == "0"


def region_of_country(code: str) -> str | None:
    """Return the region of an ISO 3166-1 code: "FR" for "FR", "US-PR" for "PR"; None if unknown."""
    region = _TERRITORIES.get(code, code)
    return region if region in _zones_by_region() else None


def region_of_zone(zone: str) -> str | None:
    """Return the country or territory of an IANA zone; None if it is no place.

    A name that is a link, such as "US/Eastern", has the country of its target.
    """
    if is_no_place(zone):
        return None
    if zone in _POSIX_NAMES:
        return "US"
    while zone not in _region_by_zone() and zone in _links():
        zone = _links()[zone]
    return _region_by_zone().get(zone)


@lru_cache(maxsize=1024)
def zones_of_region(region: str) -> tuple[str, ...]:
    """Return the zones of a country, state or province."""
    if region in STATES:
        return zones_of_state(region)
    return _zones_by_region().get(region, ())


@lru_cache(maxsize=1024)
def regions_of_clock(zone: str) -> tuple[str, ...]:
    """Return the regions in which people keep a zone's clock, within the zone's country.

    Returns:
        States or provinces for the US and Canada, or else the country; empty if the zone is no
        place.
    """
    region = region_of_zone(zone)
    if region is None:
        return ()
    if region not in SUBDIVIDED:
        return (region,)
    states = (state for state in STATES if state.startswith(f"{region}-"))
    return tuple(state for state in states if keeps_clock(state, zone)) or (region,)


def keeps_clock(region: str, zone: str) -> bool:
    """Return True if people in a region keep the clock of a zone, whatever the zone's name."""
    return any(same_clock(zone, other) for other in zones_of_region(region))


@lru_cache(maxsize=65536)
def same_clock(left: str, right: str) -> bool:
    """Return True if two zones show the same time from their last listed change on."""
    return left == right or _rule(left) == _rule(right)


@lru_cache(maxsize=1024)
def _rule(zone: str) -> str:
    """Return the POSIX rule in the zone's file, without the abbreviations: "5,M3.2.0,M11.1.0"."""
    content = _FOLDER.joinpath(*zone.split("/")).read_bytes()
    rule = content.rstrip(b"\n").rpartition(b"\n")[2].decode("ascii")
    return _ABBREVIATION.sub("", rule)


@lru_cache(maxsize=1)
def _region_by_zone() -> Mapping[str, str]:
    rows = _FOLDER.joinpath("zone.tab").read_text("utf-8").splitlines()
    cells = (row.split("\t") for row in rows if row and not row.startswith("#"))
    return MappingProxyType(
        {zone: _TERRITORIES.get(country, country) for country, _, zone, *_ in cells}
    )


@lru_cache(maxsize=1)
def _zones_by_region() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for zone, region in sorted(_region_by_zone().items()):
        if zone in ZONES:
            found[region] = (*found.get(region, ()), zone)
    return MappingProxyType(found)


@lru_cache(maxsize=1)
def _links() -> Mapping[str, str]:
    """Return the target of each name that is a link."""
    rows = _FOLDER.joinpath("tzdata.zi").read_text("utf-8").splitlines()
    parts = (row.split() for row in rows if row.startswith("L "))
    return MappingProxyType({name: target for _, target, name in parts})
