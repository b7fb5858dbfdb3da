"""Personal data that no pattern finds, people's names above all: known by the field they stand in.

What a job was given has fields: its parameters, and the keys in them. Values of fields that hold a
name, a number or an address are masked where the arguments are shown, and so is each place in an
error's text that repeats one of them.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, Final

from jobs.rules.masking import HIDDEN, mask_email, mask_name, mask_phone, mask_text

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
_SHORTEST_PART: Final = 3
"""Characters; shorter parts of a name, such as "de", would hide half of a text."""
_LONGEST_COUNT: Final = 6
"""Digits; a longer whole number in a field of numbers is a phone number."""

Named = Sequence[tuple[str, Any]]
"""Values with the names of their fields."""


def named(args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Sequence[str]) -> Named:
    """The arguments of a call by the names of its parameters; the last name is that of all the
    arguments that are left over."""
    names = chain(parameters, repeat(parameters[-1] if parameters else ""))
    return [*zip(names, args, strict=False), *kwargs.items()]


def masked(value: Any, field: str = "") -> Any:
    """`value` as it may be shown: as JSON has it, with personal data masked."""
    _, mask = _rule(field)
    match value:
        case str():
            return mask(value) if mask else mask_text(value)
        case bool() | None | float():
            return value
        case int():
            counts = mask is not mask_phone or len(str(value)) <= _LONGEST_COUNT
            return value if counts else mask_phone(str(value))
        case Mapping():
            beneath = field if mask is _hidden else None
            return {_rule(str(k))[0]: masked(v, beneath or str(k)) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [masked(one, field) for one in value]
        case bytes():
            return f"({len(value)} bytes)"
        case BaseException():
            return mask_text(f"{type(value).__name__}: {value}")
        case _:
            return mask_text(str(value))


def mask_repeated(text: str, arguments: Named) -> str:
    """`text` with what it repeats of the personal data in `arguments` masked, and all that
    `mask_text` finds."""
    text = mask_text(text)
    known = sorted(set(chain(*(_texts(value, field) for field, value in arguments))), key=len)
    if not known:
        return text
    words = "|".join(map(re.escape, reversed(known)))
    return re.sub(rf"(?<!\w)(?:{words})(?!\w)", lambda found: mask_name(found[0]), text)


def _texts(value: Any, field: str) -> Iterator[str]:
    """The personal texts in a value, and the parts of the names."""
    _, mask = _rule(field)
    match value:
        case str() if mask is not None:
            parts = value.split() if mask is mask_name else ()
            yield from (one for one in (value.strip(), *parts) if len(one) >= _SHORTEST_PART)
        case Mapping():
            beneath = field if mask is _hidden else None
            yield from _all_texts((beneath or str(key), one) for key, one in value.items())
        case list() | tuple() | set() | frozenset():
            yield from _all_texts((field, one) for one in value)


def _all_texts(fields: Iterable[tuple[str, Any]]) -> Iterator[str]:
    return chain.from_iterable(_texts(value, field) for field, value in fields)


@lru_cache(maxsize=1024)
def _rule(field: str) -> tuple[str, Mask | None]:
    """The field's name as it may be shown, and what masks its values. Names are compared as
    headings of lead files are."""
    text = unicodedata.normalize("NFKC", field).strip().casefold()
    return mask_text(field), _MASKS.get(re.sub(r"[\W_]+", "_", text))
