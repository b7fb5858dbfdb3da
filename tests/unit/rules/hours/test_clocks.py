"""Time zones as clocks, and the regions that keep them."""

import pytest

from jobs.rules.hours.clocks import (
    STATES,
    is_no_place,
    is_universal,
    keeps_clock,
    region_of_country,
    region_of_zone,
    regions_of_clock,
    same_clock,
    zones_of_region,
)
from jobs.rules.places import state_of
from jobs.rules.zones import ZONES


@pytest.mark.parametrize("zone", sorted(ZONES))
def test_zone_has_a_region_or_is_no_place(zone: str) -> None:
    region = region_of_zone(zone)
    assert (region is None) == is_no_place(zone)
    if region is not None:
        assert keeps_clock(region, zone) or region == "US"
        assert regions_of_clock(zone)


@pytest.mark.parametrize(
    "zone", ["EST", "MST", "HST", "GMT", "UTC", "Zulu", "Etc/GMT+5", "Etc/UTC"]
)
def test_fixed_offset_is_no_place(zone: str) -> None:
    assert is_no_place(zone)
    assert regions_of_clock(zone) == ()


def test_utc_has_many_names() -> None:
    universal = {name for name in ZONES if is_no_place(name) and is_universal(name)}
    assert {"UTC", "GMT", "Etc/UTC", "Etc/GMT-0", "Greenwich", "Zulu"} <= universal
    assert not {"EST", "MST", "HST", "Etc/GMT+1"} & universal


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("America/New_York", "US"),
        ("US/Eastern", "US"),
        ("EST5EDT", "US"),
        ("America/Puerto_Rico", "US-PR"),
        ("America/Toronto", "CA"),
        ("Europe/Berlin", "DE"),
        ("Portugal", "PT"),
    ],
)
def test_region_of_zone(zone: str, region: str) -> None:
    assert region_of_zone(zone) == region


def test_clock_ignores_the_name_of_the_zone() -> None:
    assert same_clock("America/Detroit", "America/New_York")
    assert same_clock("US/Pacific", "America/Los_Angeles")
    assert same_clock("Europe/Berlin", "Europe/Rome")
    assert not same_clock("America/Phoenix", "America/Denver")
    assert not same_clock("America/Los_Angeles", "America/New_York")


def test_regions_of_a_clock_are_the_states_of_its_country() -> None:
    assert regions_of_clock("America/Los_Angeles") == (
        "US-CA",
        "US-ID",
        "US-NV",
        "US-OR",
        "US-WA",
    )
    assert "US-MA" in regions_of_clock("America/New_York")
    assert set(regions_of_clock("America/Toronto")) >= {"CA-ON", "CA-QC"}
    assert regions_of_clock("Europe/Paris") == ("FR",)


def test_states_are_those_with_zones() -> None:
    assert len(STATES) == len(set(STATES)) == 56 + 13
    for state in STATES:
        assert state_of(state) == state
        assert zones_of_region(state)


def test_country_code_of_a_territory_is_its_state() -> None:
    assert region_of_country("PR") == "US-PR"
    assert region_of_country("FR") == "FR"
    assert region_of_country("XX") is None
    assert region_of_country("UK") is None
