"""Personal data that no pattern finds, people's names above all: masked by field name.

A field is a parameter of a job, or a key within one of its arguments. Values of fields that hold a
name, a phone number or an email address are masked wherever arguments are shown. An error text
that repeats such a value is masked there too.

The field names live here, not in the domains: masking must also work in a process that imports no
domain, such as `ringline failed list`.
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
"""Fields of names, and of other words that identify a person."""
NUMBERS: Final = frozenset(
    {
        *("e164", "phone", "number", "phone_number", "telephone", "mobile", "msisdn", "fax"),
    }
)
"""Fields of phone numbers."""
ADDRESSES: Final = frozenset({"email", "e_mail", "email_address", "mail"})
"""Fields of email addresses."""
OPAQUE: Final = frozenset({"attributes"})
"""Fields with contents of unknown meaning, such as a lead's free columns: hidden entirely."""

Mask = Callable[[str], str]


def _hide(_: str) -> str:
    return HIDDEN


_MASKS: Final[Mapping[str, Mask]] = {
    **dict.fromkeys(NAMES, mask_name),
    **dict.fromkeys(NUMBERS, mask_phone),
    **dict.fromkeys(ADDRESSES, mask_email),
    **dict.fromkeys(OPAQUE, _hide),
}
_MIN_REPEATED_LENGTH: Final = 3
"""Characters; masking shorter texts, such as the "de" of a name, would hide half of an error."""
_TECHNICAL_CHARACTERS: Final = frozenset("0123456789_./:")
_MAX_COUNT_DIGITS: Final = 6
"""A longer integer in a field of phone numbers is a phone number, not a count."""

NamedValues = Sequence[tuple[str, Any]]
"""Pairs of a field name and a value."""


def named_arguments(
    args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Sequence[str]
) -> NamedValues:
    """Pair the arguments of a call with the names of its parameters.

    Args:
        args: Positional arguments.
        kwargs: Keyword arguments.
        parameters: Names of the positional parameters, in order. Surplus arguments take the last
            name; without any name, all take the empty name.

    Returns:
        Pairs of name and value, positional arguments first.
    """
    names = chain(parameters, repeat(parameters[-1] if parameters else ""))
    return [*zip(names, args, strict=False), *kwargs.items()]


def mask_value(value: Any, field: str = "", mask_other: Mask = mask_text) -> Any:
    """Return a value as it may be shown.

    Args:
        value: Any value, nested or not.
        field: Name of the field that holds the value.
        mask_other: Masks the texts of fields that no rule covers.

    Returns:
        The value with personal data masked, in types that JSON has.
    """
    mask = _mask_of(field)
    match value:
        case str():
            return (mask or mask_other)(value)
        case bool() | None | float():
            return value
        case int():
            is_count = mask is not mask_phone or len(str(value)) <= _MAX_COUNT_DIGITS
            return value if is_count else mask_phone(str(value))
        case Mapping():
            inherited = field if mask is _hide else None
            return {
                _mask_key(str(key), mask_other): mask_value(item, inherited or str(key), mask_other)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [mask_value(item, field, mask_other) for item in value]
        case bytes():
            return f"({len(value)} bytes)"
        case BaseException():
            return mask_text(f"{type(value).__name__}: {value}")
        case _:
            return mask_text(str(value))


def mask_argument(value: Any, parameter: str) -> Any:
    """Return a job's argument as it may be shown.

    Stricter than `mask_value`: in fields that no rule covers, every text that might be a person's
    name is masked too.

    Args:
        value: The argument.
        parameter: Name of its parameter.

    Returns:
        The argument with personal data masked, in types that JSON has.
    """
    return mask_value(value, parameter, _mask_unless_technical)


def mask_repeated(text: str, arguments: NamedValues) -> str:
    """Mask a text that may repeat a job's arguments, such as the message of an error.

    Args:
        text: The text.
        arguments: The job's arguments, by name.

    Returns:
        The text with all that `mask_text` finds masked, and the personal data of the arguments.
    """
    text = mask_text(text)
    personal = set(chain(*(_personal_texts(value, field) for field, value in arguments)))
    # Only texts that occur: a pattern of all the texts in large arguments would be slow to compile.
    replacements = {
        spelling: mask_name(original)
        for original in personal
        if len(original) >= _MIN_REPEATED_LENGTH
        for spelling in _spellings(original)
        if spelling in text
    }
    if not replacements:
        return text
    pattern = "|".join(map(re.escape, sorted(replacements, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda match: replacements[match[0]], text)


def _spellings(text: str) -> Iterator[str]:
    """Yield the spellings in which an error may repeat a text: upper case, escaped, or both."""
    for cased in (text, text.upper()):
        yield from {cased, repr(cased)[1:-1], ascii(cased)[1:-1], json.dumps(cased)[1:-1]}


def _personal_texts(value: Any, field: str) -> Iterator[str]:
    """Yield the texts within a value that may be personal, and each part of a name."""
    mask = _mask_of(field)
    match value:
        case str() if mask is not None:
            yield value.strip()
            yield from value.split() if mask is mask_name else ()
        case str() if not _is_technical(value):
            yield value.strip()
        case Mapping():
            inherited = field if mask is _hide else None
            for key, item in value.items():
                yield from _personal_texts(str(key), "")
                yield from _personal_texts(item, inherited or str(key))
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from _personal_texts(item, field)


def _mask_unless_technical(text: str) -> str:
    return mask_text(text) if _is_technical(text) else mask_name(text)


def _is_technical(text: str) -> bool:
    """Return whether a text looks like an id, a path, a time or an option, not like a name.

    Technical texts are one ASCII word: all lower case, all upper case, or with digits or
    punctuation.
    """
    if not text.isascii() or any(map(str.isspace, text)):
        return not text
    return text.islower() or text.isupper() or not _TECHNICAL_CHARACTERS.isdisjoint(text)


@lru_cache(maxsize=1024)
def _mask_key(key: str, mask_other: Mask) -> str:
    return mask_other(key)


@lru_cache(maxsize=1024)
def _mask_of(field: str) -> Mask | None:
    """Return the mask for a field; its name is normalized like the headings of lead files."""
    text = unicodedata.normalize("NFKC", field).strip().casefold()
    return _MASKS.get(re.sub(r"[\W_]+", "_", text))
