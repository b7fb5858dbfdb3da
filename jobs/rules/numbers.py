"""Phone numbers, e-mail addresses, tags and temperatures in one form each."""

import unicodedata
from enum import StrEnum
from typing import Final, NamedTuple

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from jobs.errors import ValidationError
from jobs.privacy.masking import mask_email, mask_name, mask_phone, mask_text

__all__ = [
    "LONGEST_TAG",
    "Tag",
    "Temperature",
    "is_region",
    "mask_email",
    "mask_name",
    "mask_phone",
    "mask_text",
    "normalise_e164",
    "normalise_email",
    "normalise_tag",
]


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
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "the country code is missing or wrong",
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
