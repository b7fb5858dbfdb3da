"""Valid phone numbers that belong to nobody, for demos and tests.

Sources: +1 NPA 555 01xx is reserved by the North American Numbering Plan; the British numbers are
reserved by Ofcom for drama, minus those that `phonenumbers` considers invalid.
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
"""Count of fictional numbers."""


def fictional_number(index: int) -> str:
    """Return the fictional number with an index, in E.164; different indexes, different numbers.

    Consecutive numbers have different area codes, so a few hundred numbers cover many time zones.
    The first 42,500 are North American, the rest British.

    Args:
        index: Index of the number, from 0 to TOTAL - 1.

    Raises:
        IndexError: The index is out of range.
    """
    if not 0 <= index < TOTAL:
        raise IndexError(f"index {index:,} is out of range: there are {TOTAL:,} fictional numbers")
    if index < _NORTH_AMERICAN:
        line, position = divmod(index, len(_AREA_CODES))
        return f"+1{_AREA_CODES[position]}55501{line:02}"
    line, position = divmod(index - _NORTH_AMERICAN, len(_BRITISH))
    return f"+44{_BRITISH[position]}0{line:03}"
