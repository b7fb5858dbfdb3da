"""Regions and zones of phone numbers.

In the US and Canada, the area code names the state. If the state has two zones and the area code is
not known to lie within one of them, both zones count: the metadata of `phonenumbers` names only the
larger one, for example for Pensacola (850).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType
from phonenumbers.timezone import time_zones_for_number

from jobs.rules.area_codes import REGION_OF_AREA_CODE
from jobs.rules.hours.clocks import STATES, region_of_country, zones_of_region
from jobs.rules.zones import ZONES

NORTH_AMERICA: Final = 1
"""Country calling code."""
_NON_GEOGRAPHIC: Final = frozenset(
    {
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.UNKNOWN,
    }
)
_PROVINCES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "782": ("CA-NS", "CA-PE"),
        "867": ("CA-NT", "CA-NU", "CA-YT"),
        "902": ("CA-NS", "CA-PE"),
    }
)
"""Provinces of area codes that serve several."""

_CODES_BY_ZONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "America/New_York": "239 305 321 324 352 386 407 561 645 656 689 727 728 754 772 786 813"
        " 863 904 941 954 865",
        "America/Kentucky/Louisville": "502 859",
        "America/Detroit": "231 248 269 313 517 586 616 734 810 947 989",
        "America/Indiana/Indianapolis": "260 317 463",
        "America/Chicago": "210 214 254 281 325 346 361 409 430 469 512 682 713 726 737 806 817 830"
        " 832 903 936 940 945 956 972 979 615 629 731 901 316 913 402 531",
        "America/Denver": "915",
        "America/Phoenix": "480 520 602 623",
        "America/Los_Angeles": "503 971 702 725",
        "America/Toronto": "226 249 289 343 365 382 416 437 519 548 613 647 683 705 742 753 905 942"
        " 263 273 354 438 450 468 514 579 819 873",
        "America/Vancouver": "604",
    }
)
ZONE_OF_AREA_CODE: Final[Mapping[str, str]] = MappingProxyType(
    {code: zone for zone, codes in _CODES_BY_ZONE.items() for code in codes.split()}
)
"""Zone of each area code that lies in one zone of a state with two."""


def parse_number(e164: str) -> PhoneNumber | None:
    """Return a number in E.164 as `phonenumbers` reads it; None if it is malformed."""
    try:
        return phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return None


def places_of_number(number: PhoneNumber) -> tuple[tuple[str, str], ...]:
    """Return the regions and zones in which a number may be; empty if it has no place.

    Returns:
        Pairs of an ISO 3166 code, such as "US-AL" or "FR", and an IANA zone.
    """
    if phonenumbers.number_type(number) in _NON_GEOGRAPHIC:
        return ()
    area_code = str(number.national_number)[:3]
    if number.country_code == NORTH_AMERICA and area_code in REGION_OF_AREA_CODE:
        regions = _PROVINCES.get(area_code, (REGION_OF_AREA_CODE[area_code],))
        zone = ZONE_OF_AREA_CODE.get(area_code)
        return tuple(
            (region, name)
            for region in regions
            for name in ((zone,) if zone else zones_of_region(region))
        )
    region = region_of_country(phonenumbers.region_code_for_number(number) or "")
    if region is None:
        return ()
    zones = () if region in STATES else _zones_of_number(number)
    return tuple((region, name) for name in zones or zones_of_region(region))


def country_of_number(number: PhoneNumber) -> str | None:
    """Return the country or US territory of a number, as `region_of_country` names it.

    Numbers of North America without a place, such as toll-free numbers, count as American.
    """
    code = phonenumbers.region_code_for_number(number)
    if code is None and number.country_code == NORTH_AMERICA:
        return "US"
    return region_of_country(code or "")


def _zones_of_number(number: PhoneNumber) -> tuple[str, ...]:
    return tuple(name for name in time_zones_for_number(number) if name in ZONES)
