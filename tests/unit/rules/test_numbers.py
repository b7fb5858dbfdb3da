"""Numbers, addresses, tags and temperatures in one form each."""

import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from jobs.errors import ValidationError
from jobs.rules.fictional import TOTAL, fictional_number
from jobs.rules.numbers import (
    LONGEST_TAG,
    Temperature,
    is_region,
    normalise_e164,
    normalise_email,
    normalise_tag,
)
from jobs.rules.zones import zones_of

indices = st.integers(0, TOTAL - 1)


def ways_to_write(e164: str) -> list[str]:
    number = phonenumbers.parse(e164)
    formats = (
        phonenumbers.PhoneNumberFormat.INTERNATIONAL,
        phonenumbers.PhoneNumberFormat.NATIONAL,
        phonenumbers.PhoneNumberFormat.RFC3966,
        phonenumbers.PhoneNumberFormat.E164,
    )
    return [phonenumbers.format_number(number, one) for one in formats]


@given(indices)
def test_however_a_number_is_written_it_is_the_same(i: int) -> None:
    e164 = fictional_number(i)
    country = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
    assert country is not None
    for text in ways_to_write(e164):
        assert normalise_e164(f" {text} ", country) == e164


@given(st.text("+0123456789 ()-.x", max_size=20), st.sampled_from(["US", "GB", "PT", "IT"]))
def test_normalising_twice_changes_nothing(text: str, region: str) -> None:
    try:
        once = normalise_e164(text, region)
    except ValidationError:
        return
    assert normalise_e164(once, region) == once
    assert normalise_e164(once, "FR") == once


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
def test_a_bad_number_is_told_without_the_number(text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as raised:
        normalise_e164(text, "US")
    assert not any(character.isdigit() for character in str(raised.value))


def test_a_number_needs_a_country() -> None:
    with pytest.raises(ValidationError, match="country code"):
        normalise_e164("(415) 555-0123", "")
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
def test_an_address_is_compared_without_case(text: str, expected: str) -> None:
    assert normalise_email(text) == expected


@given(st.emails())
def test_normalising_an_address_twice_changes_nothing(text: str) -> None:
    try:
        once = normalise_email(text)
    except ValidationError:
        return
    assert normalise_email(once) == once


@pytest.mark.parametrize("text", ["", "ada", "ada@", "@ada.com", "ada@exa mple.com", "a@b@c.com"])
def test_a_bad_address_is_told_without_the_address(text: str) -> None:
    with pytest.raises(ValidationError, match="not an e-mail address") as raised:
        normalise_email(text)
    assert "ada" not in str(raised.value)


@given(st.text(max_size=40))
def test_a_tag_is_the_same_in_any_case_and_spacing(text: str) -> None:
    try:
        tag = normalise_tag(text)
    except ValidationError:
        assert not unicodedata.normalize("NFKC", text).split() or len(text) > 5
        return
    assert normalise_tag(tag.name) == tag
    assert normalise_tag(tag.key).key == tag.key
    assert normalise_tag(f"  {text}\n").key == tag.key
    assert normalise_tag(text.casefold()).key == tag.key


def test_a_tag_keeps_the_name_that_is_shown() -> None:
    assert normalise_tag("  Early   Bird ") == ("early bird", "Early Bird")
    assert normalise_tag("STRASSE").key == normalise_tag("straße").key
    assert normalise_tag("\uff36\uff29\uff30") == ("vip", "VIP")


@pytest.mark.parametrize("text", ["", "  ", "\u3000", "x" * (LONGEST_TAG + 1)])
def test_a_tag_has_a_name_of_bounded_length(text: str) -> None:
    with pytest.raises(ValidationError, match="tag"):
        normalise_tag(text)


@pytest.mark.parametrize(
    ("given_as", "meant"),
    [
        (("hot", "HOT", " Hot ", 1, "1"), Temperature.HOT),
        (("neutral", "Neutral", 2, "2"), Temperature.NEUTRAL),
        (("cold", 3, "3"), Temperature.COLD),
    ],
)
def test_a_temperature_has_one_meaning(given_as: tuple[object, ...], meant: Temperature) -> None:
    for value in given_as:
        assert Temperature(value) is meant  # type: ignore[arg-type]  # any object may be asked
        assert TypeAdapter(Temperature).validate_python(value) is meant


@pytest.mark.parametrize("value", ["warm", "", 0, 4, "4", True, 1.0, None])
def test_anything_else_is_no_temperature(value: object) -> None:
    with pytest.raises(ValueError, match="Temperature"):
        Temperature(value)  # type: ignore[arg-type]  # the point of the test


def test_fictional_numbers_are_valid_and_each_its_own() -> None:
    numbers = [fictional_number(i) for i in range(TOTAL)]
    assert TOTAL == len(set(numbers)) == 54_500
    for number in numbers[::7]:
        assert phonenumbers.is_valid_number(phonenumbers.parse(number))


@given(indices)
def test_a_fictional_number_can_be_called_and_is_nobodys(i: int) -> None:
    number = fictional_number(i)
    assert normalise_e164(number, "US") == number
    assert zones_of(timezone=None, state=None, postal_code=None, e164=number)
    assert number[5:10] == "55501" if number.startswith("+1") else number[:3] == "+44"


def test_a_few_fictional_numbers_are_in_many_zones() -> None:
    found = {
        name
        for i in range(100)
        for name in zones_of(timezone=None, state=None, postal_code=None, e164=fictional_number(i))
    }
    coasts = {"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"}
    assert coasts <= found


@pytest.mark.parametrize("i", [-1, TOTAL])
def test_there_are_no_more_fictional_numbers(i: int) -> None:
    with pytest.raises(IndexError, match="54,500"):
        fictional_number(i)
