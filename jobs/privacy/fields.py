"""Personal data that no pattern finds, people's names above all: known by the field they stand in.

What a job was given has fields: its parameters, and the keys in them. Values of fields that hold a
name, a number or an address are masked where the arguments are shown, and so is each place in an
error's text that repeats one of them.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, Final

from jobs.privacy.masking import HIDDEN, mask_email, mask_name, mask_phone, mask_text

NAMES: Final = frozenset(
    {
        *("name", "full_name", "fullname", "first_name", "firstname", "given_name", "middle_name"),
        *("last_name", "lastname", "surname", "family_name", "nickname", "maiden_name"),
        *("person", "contact", "contact_name", "customer", "customer_name", "lead_name"),
        *("company", "company_name", "employer", "street", "address", "postal_address"),
        *("birthday", "birth_date", "date_of_birth", "dob"),
    }
)
NUMBERS: Final = frozenset(
    {
        *("e164", "phone", "number", "phone_number", "telephone", "mobile", "msisdn", "fax"),
    }
)
ADDRESSES: Final = frozenset({"email", "e_mail", "email_address", "mail"})
ALL_BENEATH: Final = frozenset({"attributes"})
"""Free columns of a lead: nobody knows what is in them, so nothing of it is shown."""

Mask = Callable[[str], str]


def _hidden(_: str) -> str:
    return HIDDEN


_MASKS: Final[Mapping[str, Mask]] = {
    **dict.fromkeys(NAMES, mask_name),
    **dict.fromkeys(NUMBERS, mask_phone),
    **dict.fromkeys(ADDRESSES, mask_email),
    **dict.fromkeys(ALL_BENEATH, _hidden),
}
_SHORTEST: Final = 3
"""Characters; shorter texts, such as the "de" of a name, would hide half of an error."""
_SIGNS: Final = frozenset("0123456789_./:")
_LONGEST_COUNT: Final = 6
"""Digits; a longer whole number in a field of numbers is a phone number."""

NamedValues = Sequence[tuple[str, Any]]
"""Values with the names of their fields."""


def named_arguments(
    args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Sequence[str]
) -> NamedValues:
    """The arguments of a call by the names of its parameters; the last name is that of all the
    arguments that are left over."""
    names = chain(parameters, repeat(parameters[-1] if parameters else ""))
    return [*zip(names, args, strict=False), *kwargs.items()]


def mask_value(value: Any, field: str = "", free: Mask = mask_text) -> Any:
    """`value` as it may be shown: as JSON has it, with personal data masked.

    free: masks the texts of fields that are not known.
    """
    mask = _rule(field)
    match value:
        case str():
            return (mask or free)(value)
        case bool() | None | float():
            return value
        case int():
            counts = mask is not mask_phone or len(str(value)) <= _LONGEST_COUNT
            return value if counts else mask_phone(str(value))
        case Mapping():
            inner = field if mask is _hidden else None
            return {
                _key(str(k), free): mask_value(v, inner or str(k), free) for k, v in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [mask_value(one, field, free) for one in value]
        case bytes():
            return f"({len(value)} bytes)"
        case BaseException():
            return mask_text(f"{type(value).__name__}: {value}")
        case _:
            return mask_text(str(value))


def mask_argument(value: Any, parameter: str) -> Any:
    """As `mask_value`, and of other fields too no text is shown that might be somebody's name."""
    return mask_value(value, parameter, _unless_technical)


def mask_repeated(text: str, arguments: NamedValues) -> str:
    """`text` with what it repeats of the personal data in `arguments` masked, and all that
    `mask_text` finds."""
    text = mask_text(text)
    known = set(chain(*(_texts(value, field) for field, value in arguments)))
    long_enough = [one for one in known if len(one) >= _SHORTEST]
    # Only what is there: an expression of all that a job was given would take long to make.
    shown = {form: mask_name(one) for one in long_enough for form in _forms(one) if form in text}
    if not shown:
        return text
    words = "|".join(map(re.escape, sorted(shown, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{words})(?!\w)", lambda found: shown[found[0]], text)


def _forms(text: str) -> Iterator[str]:
    """How an error may repeat a text: as it is or in capitals, each of them escaped or not."""
    for one in (text, text.upper()):
        yield from {one, repr(one)[1:-1], ascii(one)[1:-1], json.dumps(one)[1:-1]}


def _texts(value: Any, field: str) -> Iterator[str]:
    """The texts in a value that may be personal, and the parts of what is a name."""
    mask = _rule(field)
    match value:
        case str() if mask is not None:
            yield value.strip()
            yield from value.split() if mask is mask_name else ()
        case str() if not _is_technical(value):
            yield value.strip()
        case Mapping():
            inner = field if mask is _hidden else None
            for key, one in value.items():
                yield from _texts(str(key), "")
                yield from _texts(one, inner or str(key))
        case list() | tuple() | set() | frozenset():
            for one in value:
                yield from _texts(one, field)


def _unless_technical(text: str) -> str:
    return mask_text(text) if _is_technical(text) else mask_name(text)


def _is_technical(text: str) -> bool:
    """Whether it is written as ids, paths, moments and names of options are, and people's are not:
    one word, all in small or all in capital letters, or with digits or signs between."""
    if not text.isascii() or any(map(str.isspace, text)):
        return not text
    return text.islower() or text.isupper() or not _SIGNS.isdisjoint(text)


@lru_cache(maxsize=1024)
def _key(field: str, free: Mask) -> str:
    return free(field)


@lru_cache(maxsize=1024)
def _rule(field: str) -> Mask | None:
    """What masks the values of a field; names are compared as headings of lead files are."""
    text = unicodedata.normalize("NFKC", field).strip().casefold()
    return _MASKS.get(re.sub(r"[\W_]+", "_", text))
