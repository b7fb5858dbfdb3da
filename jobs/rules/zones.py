"""IANA time zones, and the candidate zones and region of a lead.

Zones come from the pinned `tzdata` package, never from the machine's copy: calling hours must not
depend on the age of that copy.
"""

from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType
from phonenumbers.timezone import time_zones_for_number

from jobs.errors import ValidationError
from jobs.rules.area_codes import REGION_OF_AREA_CODE
from jobs.rules.places import state_of, state_of_postal_code, zones_of_state

_PACKAGE: Final = files("tzdata")
_NOT_A_PLACE: Final = frozenset({"Factory"})
ZONES: Final = frozenset(_PACKAGE.joinpath("zones").read_text("utf-8").split()) - _NOT_A_PLACE
"""Names of all IANA zones."""
_BY_FOLDED_NAME: Final = MappingProxyType({name.casefold(): name for name in ZONES})
_ZONE_HINT: Final = "use an IANA name such as Europe/Lisbon"

_NORTH_AMERICA: Final = 1
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


@lru_cache(maxsize=len(ZONES))
def load_zone(name: str) -> ZoneInfo:
    """Return the IANA zone with a name.

    Raises:
        ValidationError: There is no such zone.
    """
    if name not in ZONES:
        raise ValidationError(f"{name!r} is not a time zone: {_ZONE_HINT}")
    with _PACKAGE.joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def normalize_timezone(text: str) -> str:
    """Return the IANA name of a zone, given in any case.

    Raises:
        ValidationError: There is no such zone. The message does not contain the text.
    """
    name = _BY_FOLDED_NAME.get(text.strip().casefold())
    if name is None:
        raise ValidationError(f"not a time zone: {_ZONE_HINT}")
    return name


@lru_cache(maxsize=65536)
def zones_of(
    *, timezone: str | None, state: str | None, postal_code: str | None, e164: str | None
) -> tuple[str, ...]:
    """Return the IANA zones in which a lead may be; empty if unknown.

    The first source with a result decides: the zone name, then state and postal code together,
    then the number. An invalid zone name gives no zone instead of a guess from the other sources.

    Args:
        timezone: IANA name of the zone.
        state: State or province of the US or Canada, as a code or name.
        postal_code: US ZIP code or Canadian postal code.
        e164: Phone number in E.164.
    """
    if timezone:
        return (timezone,) if timezone in ZONES else ()
    number = _parse(e164)
    states = _states(state, postal_code, number)
    if states:
        return tuple(sorted({name for region in states for name in zones_of_state(region)}))
    return () if number is None else _zones_of_number(number)


@lru_cache(maxsize=65536)
def region_of(*, state: str | None, postal_code: str | None, e164: str | None) -> str | None:
    """Return the region of a lead, for calling windows; None if unknown.

    Args:
        state: State or province of the US or Canada, as a code or name.
        postal_code: US ZIP code or Canadian postal code.
        e164: Phone number in E.164.

    Returns:
        ISO 3166 code, such as "US-AL" or "FR".
    """
    number = _parse(e164)
    states = _states(state, postal_code, number)
    if states:
        return states[0]
    return None if number is None else _region_of_number(number)


def _states(
    state: str | None, postal_code: str | None, number: PhoneNumber | None
) -> tuple[str, ...]:
    # "WA" is Washington, unless the number is Australian.
    if number is not None and number.country_code != _NORTH_AMERICA:
        return ()
    by_name = state_of(state) if state else None
    by_code = state_of_postal_code(postal_code) if postal_code else None
    return tuple(dict.fromkeys(region for region in (by_name, by_code) if region is not None))


def _parse(e164: str | None) -> PhoneNumber | None:
    if not e164:
        return None
    try:
        return phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return None


def _zones_of_number(number: PhoneNumber) -> tuple[str, ...]:
    if phonenumbers.number_type(number) in _NON_GEOGRAPHIC:
        return ()
    return tuple(name for name in time_zones_for_number(number) if name in ZONES)


def _region_of_number(number: PhoneNumber) -> str | None:
    area_code = str(number.national_number)[:3]
    if number.country_code == _NORTH_AMERICA and area_code in REGION_OF_AREA_CODE:
        return REGION_OF_AREA_CODE[area_code]
    return phonenumbers.region_code_for_number(number)
