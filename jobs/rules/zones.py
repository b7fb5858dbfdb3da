"""Time zones, from the pinned `tzdata` package and never from the machine's copy, and who is where.

The machine's copy may be older or newer than what was tested; a campaign must not call at another
hour for it.
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
_NO_PLACE: Final = frozenset({"Factory"})
ZONES: Final = frozenset(_PACKAGE.joinpath("zones").read_text("utf-8").split()) - _NO_PLACE
"""The names of all IANA zones."""
_BY_FOLDED_NAME: Final = MappingProxyType({name.casefold(): name for name in ZONES})


@lru_cache(maxsize=len(ZONES))
def zone(name: str) -> ZoneInfo:
    """The IANA zone of this name. Raises ValidationError."""
    if name not in ZONES:
        raise ValidationError(f"{name!r} is not a time zone; one is named like Europe/Lisbon")
    with _PACKAGE.joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def normalise_timezone(text: str) -> str:
    """The IANA name that `text` spells, in whatever case. Raises ValidationError with a reason that
    does not contain it."""
    name = _BY_FOLDED_NAME.get(text.strip().casefold())
    if name is None:
        raise ValidationError("this is not a time zone; one is named like Europe/Lisbon")
    return name


@lru_cache(maxsize=65536)
def zones_of(
    *, timezone: str | None, state: str | None, postal_code: str | None, e164: str | None
) -> tuple[str, ...]:
    """The IANA zones in which a lead may be; none when that is unknown.

    The first of these that says anything: the lead's own zone, its state and postal code, its
    number. A zone name that does not exist gives none, rather than a guess from the rest.
    """
    if timezone:
        return (timezone,) if timezone in ZONES else ()
    number = _parsed(e164)
    states = _states(state, postal_code, number)
    if states:
        return tuple(sorted({name for one in states for name in zones_of_state(one)}))
    return () if number is None else _zones_of_number(number)


@lru_cache(maxsize=65536)
def region_of(*, state: str | None, postal_code: str | None, e164: str | None) -> str | None:
    """ISO 3166 of where a lead is, "US-AL" or "FR", for calling windows; None when unknown."""
    number = _parsed(e164)
    states = _states(state, postal_code, number)
    if states:
        return states[0]
    return None if number is None else _region_of_number(number)


def _states(
    state: str | None, postal_code: str | None, number: PhoneNumber | None
) -> tuple[str, ...]:
    # "WA" is Washington, unless the number says Australia.
    if number is not None and number.country_code != _NORTH_AMERICA:
        return ()
    named = state_of(state) if state else None
    posted = state_of_postal_code(postal_code) if postal_code else None
    return tuple(dict.fromkeys(one for one in (named, posted) if one is not None))


def _parsed(e164: str | None) -> PhoneNumber | None:
    if not e164:
        return None
    try:
        return phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return None


def _zones_of_number(number: PhoneNumber) -> tuple[str, ...]:
    if phonenumbers.number_type(number) in _NOWHERE:
        return ()
    return tuple(name for name in time_zones_for_number(number) if name in ZONES)


def _region_of_number(number: PhoneNumber) -> str | None:
    area_code = str(number.national_number)[:3]
    if number.country_code == _NORTH_AMERICA and area_code in REGION_OF_AREA_CODE:
        return REGION_OF_AREA_CODE[area_code]
    return phonenumbers.region_code_for_number(number)


_NORTH_AMERICA: Final = 1
_NOWHERE: Final = frozenset(
    {
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.UNKNOWN,
    }
)
