"""Phone numbers that are valid and belong to nobody, for demos and tests.

+1 NPA 555 01xx is set aside by the North American Numbering Plan, the British ones by Ofcom for
drama; those of Ofcom that `phonenumbers` does not deem valid are left out.
"""

from typing import Final

from jobs.rules.area_codes import REGION_OF_AREA_CODE

_AREA_CODES: Final = tuple(sorted(REGION_OF_AREA_CODE))
_PER_AREA_CODE: Final = 100
_NORTH_AMERICAN: Final = len(_AREA_CODES) * _PER_AREA_CODE

_BRITISH: Final = (
    "207946",
    "113496",
    "114496",
    "116496",
    "117496",
    "118496",
    "121496",
    "131496",
    "141496",
    "151496",
    "161496",
    "191498",
)
_PER_BRITISH_PREFIX: Final = 1000

TOTAL: Final = _NORTH_AMERICAN + len(_BRITISH) * _PER_BRITISH_PREFIX


def fictional_number(i: int) -> str:
    """The fictional number of index `i`, from 0 up to TOTAL, in E.164; each index has its own.

    Neighbours have different area codes, so a few hundred numbers are in many zones; the first
    42,500 are North American. Raises IndexError.
    """
    if not 0 <= i < TOTAL:
        raise IndexError(f"there are {TOTAL:,} fictional numbers, numbered from 0, and no {i:,}")
    if i < _NORTH_AMERICAN:
        line, place = divmod(i, len(_AREA_CODES))
        return f"+1{_AREA_CODES[place]}55501{line:02}"
    line, place = divmod(i - _NORTH_AMERICAN, len(_BRITISH))
    return f"+44{_BRITISH[place]}0{line:03}"
