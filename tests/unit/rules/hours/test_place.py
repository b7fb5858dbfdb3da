"""Place of a lead: candidates of all evidence, and the effect of more evidence."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jobs.rules.hours import HoursPolicy, Place, Source, Voice, evidence_of, is_open
from jobs.rules.hours.place import BAD_COUNTRY, BAD_ZONE, NO_PLACE

NEW_YORKER, CALIFORNIAN, ALABAMIAN = "+12125550171", "+14155550181", "+12055550100"
VIRGINIAN, TOLL_FREE, TORONTONIAN = "+17035550100", "+18005550100", "+14165550100"
SYDNEY, PARIS = "+61280000000", "+33123456789"


def regions(place: Place) -> set[str]:
    return set(place.regions)


def pairs(place: Place) -> set[tuple[str, str]]:
    return {(candidate.region, candidate.zone) for candidate in place.candidates}


def not_understood(place: Place) -> set[Source]:
    return {reading.source for reading in place.readings if not reading.understood}


def test_each_source_names_a_place() -> None:
    new_york = {("US-NY", "America/New_York")}
    assert pairs(evidence_of(number=NEW_YORKER)) == new_york
    assert pairs(evidence_of(state="New York")) == new_york
    assert pairs(evidence_of(postal_code="10001")) == new_york
    assert pairs(evidence_of(number=PARIS)) == {("FR", "Europe/Paris")}
    assert pairs(evidence_of(country="FR")) == {("FR", "Europe/Paris")}


def test_sources_that_disagree_all_count() -> None:
    place = evidence_of(number=NEW_YORKER, state="CA", postal_code="35004")
    assert pairs(place) == {
        ("US-NY", "America/New_York"),
        ("US-CA", "America/Los_Angeles"),
        ("US-AL", "America/Chicago"),
    }
    assert not not_understood(place)


def test_zone_with_the_clock_of_a_known_region_adds_no_region() -> None:
    assert regions(evidence_of(number=NEW_YORKER, zone="America/New_York")) == {"US-NY"}
    assert regions(evidence_of(number=TORONTONIAN, zone="US/Eastern")) == {"CA-ON"}
    assert regions(evidence_of(number=PARIS, zone="europe/berlin")) == {"FR"}


def test_zone_with_another_clock_stands_for_all_its_states() -> None:
    place = evidence_of(number=NEW_YORKER, zone="America/Los_Angeles")
    assert regions(place) == {"US-NY", "US-CA", "US-ID", "US-NV", "US-OR", "US-WA"}
    assert regions(evidence_of(number=NEW_YORKER, zone="Europe/London")) == {"US-NY", "GB"}


def test_state_explains_a_zone() -> None:
    place = evidence_of(number=NEW_YORKER, state="CA", zone="America/Los_Angeles")
    assert regions(place) == {"US-NY", "US-CA"}


@pytest.mark.parametrize("zone", ["EST", "MST", "Etc/GMT+5"])
def test_fixed_offset_narrows(zone: str) -> None:
    place = evidence_of(number=NEW_YORKER, zone=zone)
    assert pairs(place) == {("US-NY", "America/New_York"), ("US-NY", zone)}


@pytest.mark.parametrize("zone", ["UTC", "GMT", "Etc/UTC", "Etc/GMT"])
def test_utc_says_nothing(zone: str) -> None:
    assert evidence_of(number=NEW_YORKER, zone=zone).candidates == (
        evidence_of(number=NEW_YORKER).candidates
    )


@pytest.mark.parametrize("zone", [None, "EST", "UTC", "Etc/GMT+5"])
def test_no_place(zone: str | None) -> None:
    place = evidence_of(number=TOLL_FREE, zone=zone)
    assert place.candidates == ()
    assert place.obstacle == NO_PLACE


@pytest.mark.parametrize("zone", ["Mars/Phobos", "PST", "Eastern Time (US & Canada)", "Factory"])
def test_bad_zone_is_no_place(zone: str) -> None:
    place = evidence_of(number=NEW_YORKER, state="NY", zone=zone)
    assert place.candidates == ()
    assert place.obstacle == BAD_ZONE


@pytest.mark.parametrize("country", ["XX", "UK", "France"])
def test_bad_country_is_no_place(country: str) -> None:
    assert evidence_of(number=NEW_YORKER, country=country).obstacle == BAD_COUNTRY


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_evidence_is_missing(blank: str | None) -> None:
    place = evidence_of(
        number=NEW_YORKER, state=blank, postal_code=blank, zone=blank, country=blank
    )
    assert place == evidence_of(number=NEW_YORKER)


@pytest.mark.parametrize(
    ("postal_code", "region"),
    [
        ("02134", "US-MA"),
        ("2134", "US-MA"),
        ("2134.0", "US-MA"),
        ("2134-1234", "US-MA"),
        ("02134-1234", "US-MA"),
        ("02134 1234", "US-MA"),
        ("21341234", "US-MA"),
        ("021341234", "US-MA"),
        ("601", "US-PR"),
        ("00601", "US-PR"),
        ("6011234", "US-PR"),
        ("802", "US-VI"),
        ("94103", "US-CA"),
        ("K1A 0B1", "CA-ON"),
        ("v5k0a1", "CA-BC"),
    ],
)
def test_postal_code(postal_code: str, region: str) -> None:
    place = evidence_of(number=NEW_YORKER, postal_code=postal_code)
    assert regions(place) == {"US-NY", region}


@pytest.mark.parametrize("postal_code", ["21", "213456", "00000", "96910", "09001", "SW1A 1AA"])
def test_postal_code_that_is_not_understood_means_an_unknown_state(postal_code: str) -> None:
    place = evidence_of(number=NEW_YORKER, postal_code=postal_code)
    assert pairs(place) == {("US-NY", "America/New_York"), ("US", "America/New_York")}
    assert not_understood(place) == {Source.POSTAL_CODE}


def test_state_that_is_not_understood_means_an_unknown_state() -> None:
    place = evidence_of(number=CALIFORNIAN, state="Atlantis", postal_code="10001")
    assert pairs(place) == {
        ("US-CA", "America/Los_Angeles"),
        ("US-NY", "America/New_York"),
        ("US", "America/Los_Angeles"),
        ("US", "America/New_York"),
    }
    assert regions(evidence_of(number=TORONTONIAN, state="Ontaria")) == {"CA-ON", "CA"}
    assert regions(evidence_of(number=PARIS, state="IDF")) == {"FR"}


def test_state_alone_that_is_not_understood_is_no_place() -> None:
    assert evidence_of(state="Atlantis").obstacle == NO_PLACE


def test_codes_are_read_in_the_country_of_other_evidence() -> None:
    assert regions(evidence_of(number=SYDNEY, state="WA", postal_code="2134")) == {"AU"}
    assert regions(evidence_of(number=SYDNEY, state="WA", country="US")) == {"AU", "US-WA"}
    assert regions(evidence_of(number=SYDNEY, state="Washington")) == {"AU", "US-WA"}
    assert regions(evidence_of(number=SYDNEY, state="US-WA")) == {"AU", "US-WA"}
    assert regions(evidence_of(state="WA")) == {"US-WA"}
    assert regions(evidence_of(number="+17875550100", state="FL")) == {"US-PR", "US-FL"}


def test_zone_with_a_known_clock_names_no_country() -> None:
    place = evidence_of(number="+390612345678", state="Lazio", zone="Europe/Berlin")
    assert regions(place) == {"IT"}


def test_country_that_disagrees_counts() -> None:
    assert regions(evidence_of(number=NEW_YORKER, country="us")) == {"US-NY"}
    assert regions(evidence_of(number=NEW_YORKER, country="FR")) == {"US-NY", "FR"}
    place = evidence_of(number=TOLL_FREE, country="US", zone="America/New_York")
    assert regions(place) > {"US-NY", "US-MA"}
    place = evidence_of(number=TORONTONIAN, country="US", zone="America/New_York")
    assert ("US", "America/New_York") in pairs(place)


def test_virginian_number_is_bound_by_virginia_wherever_the_person_is() -> None:
    place = evidence_of(number=VIRGINIAN, state="CA")
    assert ("US-VA", "America/Los_Angeles") in pairs(place)
    assert ("US-CA", "America/New_York") not in pairs(place)
    assert ("US-VA", "America/Los_Angeles") not in pairs(evidence_of(number=NEW_YORKER, state="VA"))


def test_readings_hold_no_personal_value() -> None:
    place = evidence_of(number=NEW_YORKER, state="Atlantis", postal_code="99999999")
    for reading in place.readings:
        assert not {"Atlantis", "99999999", NEW_YORKER[2:]} & set(reading.meaning.split())


@dataclass(frozen=True)
class Given:
    """Evidence of a lead with a number that has a place."""

    number: str
    state: str | None = None
    postal_code: str | None = None
    zone: str | None = None
    country: str | None = None

    @property
    def place(self) -> Place:
        return evidence_of(**asdict(self))

    def with_only(self, *names: str) -> "Given":
        return Given(self.number, **{name: getattr(self, name) for name in names})


NUMBERS = st.sampled_from(
    (
        *(NEW_YORKER, CALIFORNIAN, ALABAMIAN, VIRGINIAN, TORONTONIAN, SYDNEY, PARIS),
        *("+18505550100", "+16015550100", "+17875550100"),
        *("+61412345678", "+34612345678", "+442079460123"),
    )
)
STATES = st.sampled_from(["NY", "WA", "CA", "MS", "Texas", "US-FL", "ON", "Atlantis", "NSW"])
POSTAL_CODES = st.sampled_from(["10001", "2134", "601", "94103", "K1A 0B1", "99999999", "75001"])
ZONES = st.sampled_from(
    (
        *("America/New_York", "America/Los_Angeles", "America/Toronto", "US/Central", "EST5EDT"),
        *("EST", "UTC", "Etc/GMT+8", "Europe/Paris", "Australia/Perth", "Nowhere"),
    )
)
COUNTRIES = st.sampled_from(["US", "CA", "FR", "AU", "GB", "PR", "XX"])
GIVEN = st.builds(
    Given,
    NUMBERS,
    st.none() | STATES,
    st.none() | POSTAL_CODES,
    st.none() | ZONES,
    st.none() | COUNTRIES,
)
MOMENTS = st.integers(0, 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
POLICIES = st.sampled_from([HoursPolicy(), HoursPolicy(voice=Voice.HUMAN)])


def assert_no_wider(more: Place, less: Place, at: datetime, policy: HoursPolicy) -> None:
    """Check that a place with more evidence is open only when the other is."""
    assert not more.candidates or set(less.candidates) <= set(more.candidates)
    for hours in range(24):
        moment = at + timedelta(hours=hours)
        if is_open(more, moment, policy).open:
            assert is_open(less, moment, policy).open


@given(GIVEN, MOMENTS, POLICIES)
def test_no_place_is_wider_than_its_number_state_or_postal_code(
    lead: Given, at: datetime, policy: HoursPolicy
) -> None:
    assert_no_wider(lead.place, lead.with_only().place, at, policy)
    assert_no_wider(lead.place, lead.with_only("state").place, at, policy)
    assert_no_wider(lead.place, lead.with_only("postal_code").place, at, policy)
    assert_no_wider(lead.place, lead.with_only("state", "postal_code").place, at, policy)


@given(GIVEN, MOMENTS, POLICIES)
def test_more_evidence_never_opens_a_moment(lead: Given, at: datetime, policy: HoursPolicy) -> None:
    """Adding a state or postal code may explain a zone or country, and only then opens moments."""
    without_zone = lead.with_only("state", "postal_code")
    with_zone = lead.with_only("state", "postal_code", "zone")
    with_country = lead.with_only("state", "postal_code", "country")
    assert_no_wider(with_zone.place, without_zone.place, at, policy)
    assert_no_wider(with_country.place, without_zone.place, at, policy)
    assert_no_wider(lead.place, with_zone.place, at, policy)
    for names in (("zone",), ("country",), ("state", "zone"), ("postal_code", "country")):
        less = lead.with_only(*names).place
        explained = not any("other evidence" in reading.meaning for reading in less.readings)
        if explained and not {"zone", "country"} <= set(names):
            more = lead.with_only("state", "postal_code", *names).place
            assert_no_wider(more, less, at, policy)


@given(GIVEN)
def test_zone_of_the_lead_is_one_of_its_clocks(lead: Given) -> None:
    place = lead.place
    assume(place.candidates and lead.zone not in (None, "UTC"))
    assert lead.zone in place.zones
