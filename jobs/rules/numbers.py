"""Phone numbers, e-mail addresses and tags in one form each, and masked for logs."""

import re
import unicodedata
from enum import StrEnum
from typing import Final, NamedTuple

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from jobs.errors import ValidationError


class Temperature(StrEnum):
    """How promising a lead is. `Temperature(1)`, `("1")` and `("Hot")` are HOT, and so on."""

    HOT = "hot"
    NEUTRAL = "neutral"
    COLD = "cold"

    @classmethod
    def _missing_(cls, value: object) -> "Temperature | None":
        if isinstance(value, str | int) and not isinstance(value, bool):
            return _TEMPERATURES.get(str(value).strip().casefold())
        return None


_TEMPERATURES: Final = {one.value: one for one in Temperature} | {
    str(number): one for number, one in enumerate(Temperature, 1)
}


class Tag(NamedTuple):
    """key: what makes it the same tag. name: as it is shown."""

    key: str
    name: str


LONGEST_TAG: Final = 100


def normalise_tag(text: str) -> Tag:
    """A tag, NFKC and with single spaces. Raises ValidationError when empty or too long."""
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not name:
        raise ValidationError("a tag needs a name")
    if len(name) > LONGEST_TAG:
        raise ValidationError(f"a tag may have {LONGEST_TAG} characters, not {len(name)}")
    return Tag(unicodedata.normalize("NFKC", name.casefold()), name)


_NOT_PARSED: Final = {
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "the country code does not exist",
    phonenumbers.NumberParseException.NOT_A_NUMBER: "this is not a phone number",
    phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "the phone number is too short",
    phonenumbers.NumberParseException.TOO_SHORT_NSN: "the phone number is too short",
    phonenumbers.NumberParseException.TOO_LONG: "the phone number is too long",
}


def is_region(code: str) -> bool:
    """Whether `code` is a country whose numbers are known, such as "US"."""
    return code in phonenumbers.SUPPORTED_REGIONS


def normalise_e164(text: str, region: str) -> str:
    """The number in E.164. region: ISO 3166 country of a number without a country code.

    Raises ValidationError with a reason that does not contain the number.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        raise ValidationError(_NOT_PARSED[error.error_type]) from None
    if number.extension:
        raise ValidationError("the phone number has an extension, which cannot be dialled")
    if not phonenumbers.is_valid_number(number):
        raise ValidationError("the phone number is not valid in its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise_email(text: str) -> str:
    """The address, case-folded. Raises ValidationError with a reason that does not contain it."""
    try:
        address = validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        raise ValidationError("this is not an e-mail address") from None
    return unicodedata.normalize("NFC", address.casefold())


_SHOWN_DIGITS: Final = 2


def mask_phone(number: str) -> str:
    """Its first two characters and its last two digits: "+1•••••••••23"."""
    hidden = len(number) - 2 * _SHOWN_DIGITS
    if hidden <= 0:
        return "•" * len(number)
    return number[:_SHOWN_DIGITS] + "•" * hidden + number[-_SHOWN_DIGITS:]


def mask_email(address: str) -> str:
    """Its first letter and its top-level domain: "a•••@•••.com"."""
    local, _, domain = address.rpartition("@")
    _, dot, top = domain.rpartition(".")
    return f"{local[:1]}•••@•••{dot}{top if dot else ''}"


def mask_name(name: str) -> str:
    """The initial of each part: "A••• L•••"."""
    return " ".join(f"{part[0]}•••" for part in name.split())


def mask_text(text: str) -> str:
    """`text` with the phone numbers and e-mail addresses in it masked, for logs and errors."""
    return _EMAIL.sub(lambda match: mask_email(match[0]), text)


_EMAIL: Final = re.compile(r"[^\s@<>\"'(),:;]{1,64}@[\w.-]{1,255}")
