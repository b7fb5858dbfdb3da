"""Normal forms of numbers, email addresses, tags and temperatures."""

import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from jobs.errors import ValidationError
from jobs.rules.fictional import TOTAL, fictional_number
from jobs.rules.numbers import (
    MAX_TAG_LENGTH,
    Temperature,
    is_region,
    normalize_e164,
    normalize_email,
    normalize_tag,
)
from jobs.rules.zones import zones_of

indices = st.integers(0, TOTAL - 1)


def notations(e164: str) -> list[str]:
    number = phonenumbers.parse(e164)
    formats = (
        phonenumbers.PhoneNumberFormat.INTERNATIONAL,
        phonenumbers.PhoneNumberFormat.NATIONAL,
        phonenumbers.PhoneNumberFormat.RFC3966,
        phonenumbers.PhoneNumberFormat.E164,
    )
    return [phonenumbers.format_number(number, format_) for format_ in formats]


@given(indices)
def test_every_notation_of_a_number_has_the_same_e164(i: int) -> None:
    e164 = fictional_number(i)
    country = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
    assert country is not None
    for text in notations(e164):
        assert normalize_e164(f" {text} ", country) == e164


@given(st.text("+0123456789 ()-.x", max_size=20), st.sampled_from(["US", "GB", "PT", "IT"]))
def test_normalizing_a_number_twice_changes_nothing(text: str, region: str) -> None:
    try:
        e164 = normalize_e164(text, region)
    except ValidationError:
        return
    assert normalize_e164(e164, region) == e164
    assert normalize_e164(e164, "FR") == e164


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "not a phone number"),
        ("", "not a phone number"),
        ("+999 555 0123", "country code"),
        ("+1 415 555", "not valid"),
        ("+1 415 555 0123 4567 8901 2345", "too long"),
        ("+1 111 555 0123", "not valid"),
        ("+44 7700 900123", "not valid"),
        ("+1 415 555 0123 ext 42", "extension"),
    ],
)
def test_invalid_number_is_rejected_without_quoting_it(text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as raised:
        normalize_e164(text, "US")
    assert not any(character.isdigit() for character in str(raised.value))


def test_number_without_country_code_needs_a_region() -> None:
    with pytest.raises(ValidationError, match="country code"):
        normalize_e164("(415) 555-0123", "")
    assert is_region("US")
    assert not is_region("us")
    assert not is_region("XX")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Ada.Lovelace@Example.COM ", "ada.lovelace@example.com"),
        ("a+b@example.org", "a+b@example.org"),
        ("JÜRGEN@example.com", "jürgen@example.com"),
        ("x@BÜCHER.example.com", "x@bücher.example.com"),
    ],
)
def test_email_address_is_case_folded(text: str, expected: str) -> None:
    assert normalize_email(text) == expected


@given(st.emails())
def test_normalizing_an_email_address_twice_changes_nothing(text: str) -> None:
    try:
        address = normalize_email(text)
    except ValidationError:
        return
    assert normalize_email(address) == address


@pytest.mark.parametrize("text", ["", "ada", "ada@", "@ada.com", "ada@exa mple.com", "a@b@c.com"])
def test_invalid_email_address_is_rejected_without_quoting_it(text: str) -> None:
    with pytest.raises(ValidationError, match="not an email address") as raised:
        normalize_email(text)
    assert "ada" not in str(raised.value)


@given(st.text(max_size=40))
def test_tag_key_ignores_case_and_spacing(text: str) -> None:
    try:
        tag = normalize_tag(text)
    except ValidationError:
        assert not unicodedata.normalize("NFKC", text).split() or len(text) > 5
        return
    assert normalize_tag(tag.name) == tag
    assert normalize_tag(tag.key).key == tag.key
    assert normalize_tag(f"  {text}\n").key == tag.key
    assert normalize_tag(text.casefold()).key == tag.key


def test_tag_keeps_its_display_name() -> None:
    assert normalize_tag("  Early   Bird ") == ("early bird", "Early Bird")
    assert normalize_tag("STRASSE").key == normalize_tag("straße").key
    assert normalize_tag("\uff36\uff29\uff30") == ("vip", "VIP")


@pytest.mark.parametrize("text", ["", "  ", "\u3000", "x" * (MAX_TAG_LENGTH + 1)])
def test_empty_or_long_tag_name_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError, match="tag"):
        normalize_tag(text)


@pytest.mark.parametrize(
    ("values", "temperature"),
    [
        (("hot", "HOT", " Hot ", 1, "1"), Temperature.HOT),
        (("neutral", "Neutral", 2, "2"), Temperature.NEUTRAL),
        (("cold", 3, "3"), Temperature.COLD),
    ],
)
def test_temperature_accepts_names_and_numbers(
    values: tuple[object, ...], temperature: Temperature
) -> None:
    for value in values:
        assert Temperature(value) is temperature  # type: ignore[arg-type]  # accepts any object
        assert TypeAdapter(Temperature).validate_python(value) is temperature


@pytest.mark.parametrize("value", ["warm", "", 0, 4, "4", True, 1.0, None])
def test_other_values_are_not_temperatures(value: object) -> None:
    with pytest.raises(ValueError, match="Temperature"):
        Temperature(value)  # type: ignore[arg-type]  # the point of the test


def test_fictional_numbers_are_valid_and_unique() -> None:
    numbers = [fictional_number(i) for i in range(TOTAL)]
    assert TOTAL == len(set(numbers)) == 54_500
    for number in numbers[::7]:
        assert phonenumbers.is_valid_number(phonenumbers.parse(number))


@given(indices)
def test_fictional_number_is_reserved_and_has_a_zone(i: int) -> None:
    number = fictional_number(i)
    assert normalize_e164(number, "US") == number
    assert zones_of(timezone=None, state=None, postal_code=None, e164=number)
    assert number[5:10] == "55501" if number.startswith("+1") else number[:3] == "+44"


def test_hundred_fictional_numbers_cover_many_zones() -> None:
    zones = {
        name
        for i in range(100)
        for name in zones_of(timezone=None, state=None, postal_code=None, e164=fictional_number(i))
    }
    coasts = {"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"}
    assert coasts <= zones


@pytest.mark.parametrize("i", [-1, TOTAL])
def test_index_beyond_the_last_fictional_number_is_rejected(i: int) -> None:
    with pytest.raises(IndexError, match="54,500"):
        fictional_number(i)
