"""Regions and zones of phone numbers."""

import phonenumbers
import pytest
from phonenumbers import PhoneNumberType
from phonenumbers.timezone import time_zones_for_number

from jobs.rules.area_codes import REGION_OF_AREA_CODE
from jobs.rules.hours.clocks import keeps_clock, region_of_country, same_clock, zones_of_region
from jobs.rules.hours.numbering import (
    ZONE_OF_AREA_CODE,
    country_of_number,
    parse_number,
    places_of_number,
)
from jobs.rules.hours.tables import country_of

WRONG_IN_METADATA = {"689"}
"""Area codes whose zone `phonenumbers` has wrong: 689 shares Orlando with 407."""
SUPPORTED = sorted(phonenumbers.SUPPORTED_REGIONS)


def places(e164: str) -> tuple[tuple[str, str], ...]:
    number = parse_number(e164)
    assert number is not None
    return places_of_number(number)


@pytest.mark.parametrize("code", sorted(REGION_OF_AREA_CODE))
def test_area_code_has_the_zones_of_its_state(code: str) -> None:
    found = places(f"+1{code}5550100")
    assert found
    regions = {region for region, _ in found}
    if "-" in REGION_OF_AREA_CODE[code]:
        assert regions == {REGION_OF_AREA_CODE[code]}
    for region, zone in found:
        assert keeps_clock(region, zone)


@pytest.mark.parametrize("code", sorted(ZONE_OF_AREA_CODE))
def test_area_code_in_one_zone_agrees_with_the_metadata(code: str) -> None:
    assert len(zones_of_region(REGION_OF_AREA_CODE[code])) > 1
    if code in WRONG_IN_METADATA:
        return
    number = phonenumbers.parse(f"+1{code}5550100")
    assert any(same_clock(ZONE_OF_AREA_CODE[code], zone) for zone in time_zones_for_number(number))


def test_area_code_across_two_zones_has_both() -> None:
    assert places("+18505550100") == (
        ("US-FL", "America/New_York"),
        ("US-FL", "America/Chicago"),
    )
    assert places("+13055550100") == (("US-FL", "America/New_York"),)


def test_area_code_of_several_provinces_has_all() -> None:
    assert {region for region, _ in places("+19025550100")} == {"CA-NS", "CA-PE"}
    assert {region for region, _ in places("+18675550100")} == {"CA-NT", "CA-NU", "CA-YT"}


@pytest.mark.parametrize("e164", ["+18005550100", "+15005550100", "+447700900123", "+80012345678"])
def test_number_without_a_place(e164: str) -> None:
    assert places(e164) == ()


def test_mobile_number_has_all_zones_of_the_country() -> None:
    assert len(places("+61412345678")) > 5
    assert {"Atlantic/Canary", "Europe/Madrid"} == {zone for _, zone in places("+34612345678")}


@pytest.mark.parametrize("region", SUPPORTED)
@pytest.mark.parametrize("kind", [PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE])
def test_number_lies_in_its_country(region: str, kind: int) -> None:
    number = phonenumbers.example_number_for_type(region, kind)
    if number is None:
        pytest.skip("no example of this kind")
    # Some countries share a numbering plan, and the number is then of the larger one.
    expected = region_of_country(phonenumbers.region_code_for_number(number) or "")
    found = {country_of(name) for name, _ in places_of_number(number)}
    assert found <= {expected and country_of(expected)}
    country = country_of_number(number)
    assert (country and country_of(country)) == (expected and country_of(expected))


def test_toll_free_number_counts_as_american() -> None:
    number = parse_number("+18005550100")
    assert number is not None
    assert country_of_number(number) == "US"


@pytest.mark.parametrize("text", ["", "nonsense", "12125550100"])
def test_malformed_number(text: str) -> None:
    assert parse_number(text) is None
