"""Time zones and region of a lead."""

from datetime import datetime

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType, geocoder

from jobs.errors import ValidationError
from jobs.rules.area_codes import REGION_OF_AREA_CODE
from jobs.rules.places import state_of, state_of_postal_code, zones_of_state
from jobs.rules.zones import ZONES, load_zone, normalize_timezone, region_of, zones_of

STATES = (
    "AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN MO MP MS MT NC "
    "ND NE NH NJ NM NV NY OH OK OR PA PR RI SC SD TN TX UT VA VI VT WA WI WV WY"
)
PROVINCES = "AB BC MB NB NL NS NT NU ON PE QC SK YT"
ALABAMIAN, TOLL_FREE = "+12055550100", "+18005550100"
LISBON, SYDNEY = "+351210000000", "+61280000000"


def zones(
    timezone: str | None = None,
    state: str | None = None,
    postal_code: str | None = None,
    e164: str | None = None,
) -> tuple[str, ...]:
    return zones_of(timezone=timezone, state=state, postal_code=postal_code, e164=e164)


def region(
    state: str | None = None, postal_code: str | None = None, e164: str | None = None
) -> str | None:
    return region_of(state=state, postal_code=postal_code, e164=e164)


def test_most_specific_source_decides_the_zone() -> None:
    assert zones("Europe/Lisbon", "AL", "10001", SYDNEY) == ("Europe/Lisbon",)
    assert zones(None, "HI", None, ALABAMIAN) == ("Pacific/Honolulu",)
    assert zones(None, None, "96813", ALABAMIAN) == ("Pacific/Honolulu",)
    assert zones(None, None, None, ALABAMIAN) == ("America/Chicago",)
    assert zones("", "", "", LISBON) == ("Europe/Lisbon",)


@pytest.mark.parametrize("number", [TOLL_FREE, "+15005550100", "+447700900123", "nonsense", None])
def test_non_geographic_number_has_no_zone(number: str | None) -> None:
    assert zones(e164=number) == ()


def test_invalid_zone_name_is_not_replaced_by_a_guess() -> None:
    assert zones("Mars/Phobos", "AL", None, ALABAMIAN) == ()
    assert zones("europe/lisbon", None, None, LISBON) == ()


def test_unknown_state_and_postal_code_are_skipped() -> None:
    assert zones(None, "Atlantis", "ABC", LISBON) == ("Europe/Lisbon",)


def test_state_with_two_zones_has_both() -> None:
    assert zones(state="TN") == ("America/Chicago", "America/New_York")


def test_conflicting_state_and_postal_code_give_both_zones() -> None:
    assert zones(state="NY", postal_code="96813") == ("America/New_York", "Pacific/Honolulu")


def test_state_code_of_another_country_is_not_american() -> None:
    assert zones(state="WA", e164="+61890000000") != zones(state="WA")
    assert region(state="WA", e164="+61890000000") == "AU"
    assert region(state="WA") == "US-WA"


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"state": "al"}, "US-AL"),
        ({"state": " Alabama "}, "US-AL"),
        ({"state": "us-al"}, "US-AL"),
        ({"postal_code": "35203"}, "US-AL"),
        ({"e164": ALABAMIAN}, "US-AL"),
        ({"state": "NY", "e164": ALABAMIAN}, "US-NY"),
        ({"e164": "+19025550100"}, "CA"),
        ({"e164": "+33123456789"}, "FR"),
        ({"e164": TOLL_FREE}, "US"),
        ({"state": "Atlantis"}, None),
        ({}, None),
    ],
)
def test_region_of_a_lead(sources: dict[str, str], expected: str | None) -> None:
    assert region(**sources) == expected


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("10001", "US-NY"),
        ("00501", "US-NY"),
        ("02134", "US-MA"),
        ("06390", "US-NY"),
        ("06511", "US-CT"),
        ("20001", "US-DC"),
        ("20170", "US-VA"),
        ("33101", "US-FL"),
        ("34002", None),
        ("60601", "US-IL"),
        ("73301", "US-TX"),
        ("79901", "US-TX"),
        ("88510", "US-TX"),
        ("83414", "US-WY"),
        ("83702", "US-ID"),
        ("96799", "US-AS"),
        ("96813", "US-HI"),
        ("96910", None),
        ("99501", "US-AK"),
        ("94105-1234", "US-CA"),
        ("941051234", "US-CA"),
        ("9410", None),
        ("K1A 0B1", "CA-ON"),
        ("h2x1y4", "CA-QC"),
        ("D1A 0B1", None),
        ("SW1A 1AA", None),
    ],
)
def test_state_of_a_postal_code(code: str, state: str | None) -> None:
    assert state_of_postal_code(code) == state


@given(st.integers(0, 99999))
def test_every_zip_code_has_a_valid_state_or_none(number: int) -> None:
    state = state_of_postal_code(f"{number:05}")
    assert state is None or state_of(state) == state


@pytest.mark.parametrize("code", f"{STATES} {PROVINCES}".split())
def test_every_state_and_province_has_zones(code: str) -> None:
    state = state_of(code)
    assert state in (f"US-{code}", f"CA-{code}")
    assert state is not None
    assert set(zones_of_state(state)) <= ZONES
    assert zones_of_state(state)


def test_area_codes_match_the_numbering_plan() -> None:
    """Compare each geographic area code with `phonenumbers`: country and state."""
    for code in map(str, range(200, 1000)):
        number = phonenumbers.parse(f"+1{code}5550123")
        kind = phonenumbers.number_type(number)
        if kind not in (PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE):
            assert code not in REGION_OF_AREA_CODE
            continue
        ours, country = REGION_OF_AREA_CODE[code], phonenumbers.region_code_for_number(number)
        assert country in ours.split("-")
        place = geocoder.description_for_number(number, "en").split(", ")[-1]
        aliases = {"Washington State": "WA", "Washington D.C.": "DC", "British Colombia": "BC"}
        named = state_of(aliases.get(place, place))
        assert named is None or named == ours


def test_zones_come_from_the_tzdata_package() -> None:
    # The 2026 package keeps these zones on summer time all year; older copies do not.
    for name in ("America/Vancouver", "America/Edmonton"):
        offsets = {
            datetime(2026, month, 15, tzinfo=load_zone(name)).utcoffset() for month in (7, 12)
        }
        assert len(offsets) == 1, name


def test_zone_is_loaded_once() -> None:
    assert load_zone("Europe/Lisbon") is load_zone("Europe/Lisbon")
    assert load_zone("Europe/Lisbon").key == "Europe/Lisbon"


@pytest.mark.parametrize(
    "name", ["", "lisbon", "../zones", "/etc/localtime", "Etc/Unknown", "Factory"]
)
def test_invalid_zone_name_is_rejected(name: str) -> None:
    with pytest.raises(ValidationError, match="time zone"):
        load_zone(name)
    with pytest.raises(ValidationError, match="time zone"):
        normalize_timezone(name)


@given(st.sampled_from(sorted(ZONES)))
def test_zone_name_is_recognized_in_any_case(name: str) -> None:
    assert normalize_timezone(f" {name.lower()} ") == normalize_timezone(name.upper()) == name
    assert load_zone(name).key == name
