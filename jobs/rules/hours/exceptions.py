"""Points of law that the columns of the tables cannot express.

Each entry restates the `scope` of a row, or the notes in `data/ORIGIN.md`.
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

FIXED_CLOCKS: Final[Mapping[str, str]] = MappingProxyType({"US-MS": "Etc/GMT+6"})
"""IANA zone in which a region's statute states its hours, if not the called party's.

Mississippi names Central Standard Time (Miss. Code 77-3-723(1)), so its hours are 09:00 to 21:00 on
local clocks in summer. The sign of `Etc/GMT+6` is reversed by POSIX: it is UTC-6.
"""

BOUND_BY_NUMBER: Final = frozenset({"US-VA"})
"""Regions whose rule follows the area code, wherever the person is (Va. Code 59.1-510)."""

EXTRA_HOLIDAYS: Final[Mapping[str, tuple[tuple[int, int, str], ...]]] = MappingProxyType(
    {"US-LA": ((11, 1, "All Saints' Day"),)}
)
"""Month, day and name of holidays that the `holidays` package does not list for a region."""

CLOSED_ON_HOLIDAYS_OF_PARTS: Final = frozenset({"ES"})
"""Countries in which regional holidays are closed too, and the part of the country is unknown.

Local holidays of a municipality (two a year in Spain) are not in any list and stay open.
"""

SATURDAY_HOURS_ON_EVES: Final = frozenset({"IT"})
"""Regions in which the eve of a holiday has at most the hours of a Saturday."""

REST_AFTER_REFUSAL: Final[Mapping[str, tuple[timedelta, str]]] = MappingProxyType(
    {"FR": (timedelta(days=60), "C. conso D. 223-9")}
)
"""Rest after a person refuses, with its citation."""

NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "US-AZ": "unsolicited sales calls to mobile numbers are restricted (A.R.S. 44-1278(B)(3))",
        "US-NJ": "unsolicited sales calls to mobile numbers are restricted (N.J.S.A. 56:8-130)",
        "US-LA": "no sales calls while the Public Service Commission is on emergency duty",
        "ES": "local holidays are closed too, and are not known here",
        "CA-BC": "the cap is per offer",
    }
)
"""Rules that hours cannot express, shown to people; dialing does not enforce them."""
