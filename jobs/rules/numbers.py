"""Normal forms of phone numbers, email addresses, tags and temperatures."""

import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from jobs.errors import ValidationError
from jobs.privacy.masking import mask_email, mask_name, mask_phone, mask_text

__all__ = [
    "MAX_TAG_LENGTH",
    "Tag",
    "Temperature",
    "is_region",
    "mask_email",
    "mask_name",
    "mask_phone",
    "mask_text",
    "normalise_tag",
    "normalize_e164",
    "normalize_email",
    "normalize_tag",
    "normalize_tags",
]


class Temperature(StrEnum):
    """Rating of a lead.

    Accepts names in any case and the numbers 1 to 3: `Temperature("Hot")`, `Temperature(1)` and
    `Temperature("1")` are HOT.
    """

    HOT = "hot"
    NEUTRAL = "neutral"
    COLD = "cold"

    @classmethod
    def _missing_(cls, value: object) -> "Temperature | None":
        if isinstance(value, str | int) and not isinstance(value, bool):
            return _TEMPERATURES.get(str(value).strip().casefold())
        return None


_TEMPERATURES: Final = {temperature.value: temperature for temperature in Temperature} | {
    str(number): temperature for number, temperature in enumerate(Temperature, 1)
}


class Tag(NamedTuple):
    """Tag of a lead.

    Attributes:
        key: Normal form; tags with equal keys are the same tag.
        name: Display name.
    """

    key: str
    name: str


MAX_TAG_LENGTH: Final = 100
"""Characters of a display name."""


def normalize_tag(text: str) -> Tag:
    """Return the tag that a text names, NFKC-normalized and with single spaces.

    Raises:
        ValidationError: The name is empty or longer than MAX_TAG_LENGTH.
    """
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not name:
        raise ValidationError("tag name is empty")
    if len(name) > MAX_TAG_LENGTH:
        raise ValidationError(f"tag name has {len(name)} characters: use at most {MAX_TAG_LENGTH}")
    return Tag(unicodedata.normalize("NFKC", name.casefold()), name)


def normalize_tags(texts: Iterable[str]) -> list[Tag]:
    """Return the tags that texts name, one per key; the first display name of a key wins.

    Raises:
        ValidationError: A name is empty or longer than MAX_TAG_LENGTH.
    """
    tags = [normalize_tag(text) for text in texts]
    return list({tag.key: tag for tag in reversed(tags)}.values())


_PARSE_ERRORS: Final = {
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "the country code is missing or wrong",
    phonenumbers.NumberParseException.NOT_A_NUMBER: "not a phone number",
    phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "the phone number is too short",
    phonenumbers.NumberParseException.TOO_SHORT_NSN: "the phone number is too short",
    phonenumbers.NumberParseException.TOO_LONG: "the phone number is too long",
}


def is_region(code: str) -> bool:
    """Return True if `code` is an ISO 3166 country code, such as "US", with a numbering plan."""
    return code in phonenumbers.SUPPORTED_REGIONS


def normalize_e164(text: str, region: str) -> str:
    """Return a phone number in E.164.

    Args:
        text: The number, in any common notation.
        region: ISO 3166 country of a number without a country code.

    Raises:
        ValidationError: The number is malformed or invalid. The message does not contain it.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        raise ValidationError(_PARSE_ERRORS[error.error_type]) from None
    if number.extension:
        raise ValidationError("the phone number has an extension, which cannot be dialed")
    if not phonenumbers.is_valid_number(number):
        raise ValidationError("the phone number is not valid in its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalize_email(text: str) -> str:
    """Return an email address, case-folded.

    Raises:
        ValidationError: The address is malformed. The message does not contain it.
    """
    try:
        address = validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        raise ValidationError("not an email address") from None
    return unicodedata.normalize("NFC", address.casefold())


normalise_tag = normalize_tag
