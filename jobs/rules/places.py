"""States, provinces and postal codes of North America, with their time zones.

Regions are ISO 3166-2 codes. Sources: the IANA time zone database for the zones, USPS and Canada
Post for the postal codes. A state that spans several time zones has all of them.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "US-AK": "Alaska",
        "US-AL": "Alabama",
        "US-AR": "Arkansas",
        "US-AS": "American Samoa",
        "US-AZ": "Arizona",
        "US-CA": "California",
        "US-CO": "Colorado",
        "US-CT": "Connecticut",
        "US-DC": "District of Columbia",
        "US-DE": "Delaware",
        "US-FL": "Florida",
        "US-GA": "Georgia",
        "US-GU": "Guam",
        "US-HI": "Hawaii",
        "US-IA": "Iowa",
        "US-ID": "Idaho",
        "US-IL": "Illinois",
        "US-IN": "Indiana",
        "US-KS": "Kansas",
        "US-KY": "Kentucky",
        "US-LA": "Louisiana",
        "US-MA": "Massachusetts",
        "US-MD": "Maryland",
        "US-ME": "Maine",
        "US-MI": "Michigan",
        "US-MN": "Minnesota",
        "US-MO": "Missouri",
        "US-MP": "Northern Mariana Islands",
        "US-MS": "Mississippi",
        "US-MT": "Montana",
        "US-NC": "North Carolina",
        "US-ND": "North Dakota",
        "US-NE": "Nebraska",
        "US-NH": "New Hampshire",
        "US-NJ": "New Jersey",
        "US-NM": "New Mexico",
        "US-NV": "Nevada",
        "US-NY": "New York",
        "US-OH": "Ohio",
        "US-OK": "Oklahoma",
        "US-OR": "Oregon",
        "US-PA": "Pennsylvania",
        "US-PR": "Puerto Rico",
        "US-RI": "Rhode Island",
        "US-SC": "South Carolina",
        "US-SD": "South Dakota",
        "US-TN": "Tennessee",
        "US-TX": "Texas",
        "US-UT": "Utah",
        "US-VA": "Virginia",
        "US-VI": "U.S. Virgin Islands",
        "US-VT": "Vermont",
        "US-WA": "Washington",
        "US-WI": "Wisconsin",
        "US-WV": "West Virginia",
        "US-WY": "Wyoming",
        "CA-AB": "Alberta",
        "CA-BC": "British Columbia",
        "CA-MB": "Manitoba",
        "CA-NB": "New Brunswick",
        "CA-NL": "Newfoundland and Labrador",
        "CA-NS": "Nova Scotia",
        "CA-NT": "Northwest Territories",
        "CA-NU": "Nunavut",
        "CA-ON": "Ontario",
        "CA-PE": "Prince Edward Island",
        "CA-QC": "Quebec",
        "CA-SK": "Saskatchewan",
        "CA-YT": "Yukon",
    }
)

_EASTERN: Final = "America/New_York"
_CENTRAL: Final = "America/Chicago"
_MOUNTAIN: Final = "America/Denver"
_PACIFIC: Final = "America/Los_Angeles"

_ONE_ZONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        _EASTERN: "CT DC DE GA MA MD ME NC NH NJ NY OH PA RI SC VA VT WV",
        _CENTRAL: "AL AR IA IL LA MN MO MS OK WI",
        _MOUNTAIN: "CO MT NM UT WY",
        _PACIFIC: "CA WA",
    }
)
_ZONES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {f"US-{state}": (zone,) for zone, states in _ONE_ZONE.items() for state in states.split()}
    | {
        "US-AK": ("America/Anchorage", "America/Adak"),
        "US-AS": ("Pacific/Pago_Pago",),
        "US-AZ": ("America/Phoenix", _MOUNTAIN),  # the Navajo Nation keeps summer time
        "US-FL": (_EASTERN, _CENTRAL),
        "US-GU": ("Pacific/Guam",),
        "US-HI": ("Pacific/Honolulu",),
        "US-ID": ("America/Boise", _PACIFIC),
        "US-IN": ("America/Indiana/Indianapolis", _CENTRAL),
        "US-KS": (_CENTRAL, _MOUNTAIN),
        "US-KY": ("America/Kentucky/Louisville", _CENTRAL),
        "US-MI": ("America/Detroit", _CENTRAL),
        "US-MP": ("Pacific/Saipan",),
        "US-ND": (_CENTRAL, _MOUNTAIN),
        "US-NE": (_CENTRAL, _MOUNTAIN),
        "US-NV": (_PACIFIC, _MOUNTAIN),
        "US-OR": (_PACIFIC, "America/Boise"),
        "US-PR": ("America/Puerto_Rico",),
        "US-SD": (_CENTRAL, _MOUNTAIN),
        "US-TN": (_EASTERN, _CENTRAL),
        "US-TX": (_CENTRAL, _MOUNTAIN),
        "US-VI": ("America/St_Thomas",),
        "CA-AB": ("America/Edmonton",),
        "CA-BC": ("America/Vancouver", "America/Edmonton", "America/Fort_Nelson"),
        "CA-MB": ("America/Winnipeg",),
        "CA-NB": ("America/Moncton",),
        "CA-NL": ("America/St_Johns", "America/Goose_Bay"),
        "CA-NS": ("America/Halifax",),
        "CA-NT": ("America/Edmonton",),
        "CA-NU": ("America/Iqaluit", "America/Rankin_Inlet", "America/Edmonton"),
        "CA-ON": ("America/Toronto", "America/Winnipeg"),
        "CA-PE": ("America/Halifax",),
        "CA-QC": ("America/Toronto", "America/Halifax"),
        "CA-SK": ("America/Regina", "America/Edmonton"),
        "CA-YT": ("America/Whitehorse",),
    }
)

# First ZIP code of each range, up to the next entry; "-" marks unassigned codes, military mail and
# the islands that share 969.
_ZIP_CODES: Final = (
    "000:- 005:US-NY 006:US-PR 008:US-VI 009:US-PR 010:US-MA 028:US-RI 030:US-NH 039:US-ME"
    " 050:US-VT 055:US-MA 056:US-VT 060:US-CT 06390:US-NY 06391:US-CT 070:US-NJ 090:- 100:US-NY"
    " 150:US-PA 197:US-DE 200:US-DC 201:US-VA 202:US-DC 206:US-MD 220:US-VA 247:US-WV 269:-"
    " 270:US-NC 290:US-SC 300:US-GA 320:US-FL 340:- 341:US-FL 350:US-AL 370:US-TN 386:US-MS"
    " 398:US-GA 400:US-KY 428:- 430:US-OH 460:US-IN 480:US-MI 500:US-IA 529:- 530:US-WI 550:US-MN"
    " 568:- 569:US-DC 570:US-SD 578:- 580:US-ND 589:- 590:US-MT 600:US-IL 630:US-MO 659:-"
    " 660:US-KS 680:US-NE 694:- 700:US-LA 715:- 716:US-AR 730:US-OK 733:US-TX 734:US-OK 750:US-TX"
    " 800:US-CO 817:- 820:US-WY 832:US-ID 83414:US-WY 83415:US-ID 839:- 840:US-UT 848:- 850:US-AZ"
    " 866:- 870:US-NM 885:US-TX 886:- 889:US-NV 899:- 900:US-CA 962:- 967:US-HI 96799:US-AS"
    " 968:US-HI 969:- 970:US-OR 980:US-WA 995:US-AK"
)
_ZIP_STARTS, _ZIP_STATES = zip(*(entry.split(":") for entry in _ZIP_CODES.split()), strict=True)
_ZIP: Final = re.compile(r"([0-9]{5})(-?[0-9]{4})?", re.ASCII)

_BY_FIRST_LETTER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "A": "CA-NL",
        "B": "CA-NS",
        "C": "CA-PE",
        "E": "CA-NB",
        "R": "CA-MB",
        "S": "CA-SK",
        "T": "CA-AB",
        "V": "CA-BC",
        "Y": "CA-YT",
    }
    | dict.fromkeys("GHJ", "CA-QC")
    | dict.fromkeys("KLMNP", "CA-ON")
)
_CANADIAN: Final = re.compile(r"([A-Z])[0-9][A-Z] ?[0-9][A-Z][0-9]", re.ASCII)

_STATES: Final[Mapping[str, str]] = MappingProxyType(
    {name.casefold(): region for region, name in _NAMES.items()}
    | {region.casefold(): region for region in _NAMES}
    | {region.partition("-")[2].casefold(): region for region in _NAMES}
)


def state_of(text: str) -> str | None:
    """Return the state or province that a text names; None if unknown.

    Args:
        text: A code or a name in any case: "AL", "US-AL" or "Alabama".

    Returns:
        ISO 3166-2 code, such as "US-AL".
    """
    return _STATES.get(" ".join(text.split()).casefold())


def state_of_postal_code(text: str) -> str | None:
    """Return the state or province of a US ZIP code or Canadian postal code; None if unknown.

    Args:
        text: ZIP code ("10001" or "10001-1234") or postal code ("K1A 0B1").

    Returns:
        ISO 3166-2 code, such as "US-NY".
    """
    code = text.strip().upper()
    zip_code = _ZIP.fullmatch(code)
    if zip_code is not None:
        state = _ZIP_STATES[bisect_right(_ZIP_STARTS, zip_code[1]) - 1]
        return None if state == "-" else state
    canadian = _CANADIAN.fullmatch(code)
    return None if canadian is None else _BY_FIRST_LETTER.get(canadian[1])


def zones_of_state(region: str) -> tuple[str, ...]:
    """Return the IANA zones of a state or province, given its ISO 3166-2 code."""
    return _ZONES[region]
