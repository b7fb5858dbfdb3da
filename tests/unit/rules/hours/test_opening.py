"""Verdicts and windows, compared with a wall-clock model of the CSV files."""

import csv
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from itertools import pairwise

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ValidationError
from jobs.rules.hours import (
    Candidate,
    HoursPolicy,
    LawfulHours,
    Place,
    Voice,
    Week,
    evidence_of,
    is_open,
    next_open,
    next_openings,
    open_windows,
    week,
)
from jobs.rules.hours.tables import Rule, Table, load_tables
from jobs.rules.localtime import day_start
from jobs.rules.zones import load_zone

HUMAN, ARTIFICIAL = HoursPolicy(voice=Voice.HUMAN), HoursPolicy()
MINUTE = timedelta(minutes=1)


def utc(text: str, zone: str) -> datetime:
    """Return a wall-clock time of a zone in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=load_zone(zone)).astimezone(UTC)


NEW_YORK, CHICAGO, LOS_ANGELES = "America/New_York", "America/Chicago", "America/Los_Angeles"
SYDNEY, PARIS, ROME = "Australia/Sydney", "Europe/Paris", "Europe/Rome"


@pytest.mark.parametrize(
    ("number", "local", "zone", "human", "artificial"),
    [
        ("+61280000000", "2026-11-29T08:30", SYDNEY, False, False),  # Sunday
        ("+61280000000", "2026-11-30T08:30", SYDNEY, False, False),
        ("+61280000000", "2026-11-30T09:00", SYDNEY, True, True),
        ("+61280000000", "2026-11-28T17:00", SYDNEY, False, False),
        ("+493012345678", "2026-11-29T08:30", "Europe/Berlin", False, False),
        ("+493012345678", "2026-11-30T12:00", "Europe/Berlin", False, False),
        ("+442079460123", "2026-11-29T08:30", "Europe/London", False, False),
        ("+442079460123", "2026-11-30T12:00", "Europe/London", False, False),
        ("+13055550100", "2026-11-30T20:30", NEW_YORK, False, False),
        ("+13055550100", "2026-11-30T19:59", NEW_YORK, True, True),
        ("+12125550100", "2026-11-30T07:59", NEW_YORK, False, False),
        ("+12125550100", "2026-11-30T08:00", NEW_YORK, True, True),
        ("+12125550100", "2026-11-30T20:59:59.999", NEW_YORK, True, True),
        ("+12125550100", "2026-11-30T21:00", NEW_YORK, False, False),
        ("+12125550100", "2026-11-29T08:00", NEW_YORK, True, True),
        ("+12055550100", "2026-11-29T12:00", CHICAGO, False, False),
        # Mississippi counts in Central Standard Time: 09:00 to 21:00 on summer clocks.
        ("+16015550100", "2026-07-06T08:30", CHICAGO, False, False),
        ("+16015550100", "2026-07-06T09:00", CHICAGO, True, True),
        ("+16015550100", "2026-07-06T20:59", CHICAGO, True, True),
        ("+16015550100", "2026-07-06T21:00", CHICAGO, False, False),
        ("+16015550100", "2026-12-07T08:00", CHICAGO, True, True),
        ("+16015550100", "2026-12-07T20:00", CHICAGO, False, False),
        ("+16015550100", "2026-12-06T12:00", CHICAGO, False, False),
        ("+33123456789", "2026-11-30T12:59", PARIS, True, True),
        ("+33123456789", "2026-11-30T13:00", PARIS, False, False),
        ("+33123456789", "2026-11-30T13:59", PARIS, False, False),
        ("+33123456789", "2026-11-30T14:00", PARIS, True, True),
        ("+33123456789", "2026-12-25T11:00", PARIS, False, False),
        ("+18035550100", "2026-11-30T19:30", NEW_YORK, True, False),
        ("+12075550100", "2026-11-30T16:30", NEW_YORK, True, True),
        ("+12075550100", "2026-11-30T17:30", NEW_YORK, True, False),
        ("+16175550100", "2026-11-30T12:00", NEW_YORK, True, False),
        ("+13075550100", "2026-11-30T12:00", "America/Denver", True, False),
        ("+15045550100", "2027-11-01T12:00", CHICAGO, False, False),  # All Saints' Day
        ("+390612345678", "2026-12-07T09:30", ROME, False, False),  # eve of a holiday
        ("+390612345678", "2026-12-07T10:30", ROME, True, True),
        ("+18005550100", "2026-11-30T12:00", NEW_YORK, False, False),
    ],
)
def test_number_alone(number: str, local: str, zone: str, human: bool, artificial: bool) -> None:
    place, at = evidence_of(number=number), utc(local, zone)
    assert is_open(place, at, HUMAN).open == human
    assert is_open(place, at, ARTIFICIAL).open == artificial


@pytest.mark.parametrize(
    ("evidence", "local", "zone", "expected"),
    [
        # A fixed offset never opens an hour that the summer clock closes, nor the reverse.
        ({"number": "+12125550171", "zone": "EST"}, "2026-07-06T21:30", NEW_YORK, False),
        ({"number": "+12125550171", "zone": "EST"}, "2026-07-06T08:30", NEW_YORK, False),
        ({"number": "+12125550171", "zone": "EST"}, "2026-07-06T09:00", NEW_YORK, True),
        ({"number": "+13035550171", "zone": "MST"}, "2026-07-06T21:30", "America/Denver", False),
        ({"number": "+13035550171", "zone": "MST"}, "2026-07-06T12:00", "America/Denver", True),
        ({"number": "+12125550171", "zone": "UTC"}, "2026-07-06T08:00", "UTC", False),
        ({"number": "+12125550171", "zone": "UTC"}, "2026-07-06T19:00", NEW_YORK, True),
        # A ZIP code of Boston, with and without its zero, on a Californian number.
        ({"number": "+14155550181", "postal_code": "02134"}, "2026-11-30T23:30", NEW_YORK, False),
        ({"number": "+14155550182", "postal_code": "2134"}, "2026-11-30T23:30", NEW_YORK, False),
        ({"number": "+14155550182", "postal_code": "2134"}, "2026-11-30T19:59", NEW_YORK, True),
        ({"number": "+14155550182", "postal_code": "2134"}, "2026-11-30T20:00", NEW_YORK, False),
        # Neither is understood: the strictest hours of the country.
        ({"number": "+14155550182", "postal_code": "21"}, "2026-11-30T09:30", LOS_ANGELES, False),
        ({"number": "+14155550182", "state": "Atlantis"}, "2026-11-30T10:00", LOS_ANGELES, True),
        ({"number": "+14155550182", "state": "Atlantis"}, "2026-11-30T18:00", LOS_ANGELES, False),
        ({"number": "+14155550182", "state": "Atlantis"}, "2026-11-28T17:00", LOS_ANGELES, False),
        ({"number": "+14155550182", "state": "Atlantis"}, "2026-11-29T12:00", LOS_ANGELES, False),
        ({"number": "+14155550182", "state": "Atlantis"}, "2026-12-25T12:00", LOS_ANGELES, False),
        ({"number": "+12125550171", "zone": "Nowhere"}, "2026-11-30T12:00", NEW_YORK, False),
        ({"number": "+12125550171", "state": "CA"}, "2026-11-30T08:30", LOS_ANGELES, True),
        ({"number": "+12125550171", "state": "CA"}, "2026-11-30T21:30", NEW_YORK, False),
    ],
)
def test_evidence(evidence: dict[str, str], local: str, zone: str, expected: bool) -> None:
    assert is_open(evidence_of(**evidence), utc(local, zone), HUMAN).open == expected


def test_zones_too_far_apart_never_open() -> None:
    place = Place((), (Candidate("FR", "Pacific/Honolulu"), Candidate("FR", PARIS)))
    assert next_openings(place, utc("2026-11-30T12:00", PARIS), HUMAN) == ()
    assert next_open(place, utc("2026-11-30T12:00", PARIS), HUMAN) is None


def test_next_openings_of_france_have_a_gap() -> None:
    place = evidence_of(number="+33123456789")
    found = next_openings(place, utc("2026-12-24T15:00", PARIS), HUMAN, 4)
    expected = [
        ("2026-12-24T15:00", "2026-12-24T20:00"),
        ("2026-12-28T10:00", "2026-12-28T13:00"),  # Christmas is a Friday
        ("2026-12-28T14:00", "2026-12-28T20:00"),
        ("2026-12-29T10:00", "2026-12-29T13:00"),
    ]
    assert found == tuple((utc(opens, PARIS), utc(closes, PARIS)) for opens, closes in expected)


@pytest.mark.parametrize(
    ("local", "zone", "reason"),
    [
        ("2026-11-30T20:30", NEW_YORK, "20:30 is outside 08:00-20:00 (US-FL: Fla. Stat."),
        ("2026-11-29T12:00", "", "closed on Sundays (US-AL: Ala. Admin. Code"),
        ("2026-12-25T12:00", "", "closed on Christmas Day (US-AL"),
    ],
)
def test_verdict_names_its_rule(local: str, zone: str, reason: str) -> None:
    number = "+13055550100" if zone else "+12055550100"
    verdict = is_open(evidence_of(number=number), utc(local, zone or CHICAGO), HUMAN)
    assert not verdict.open
    (found,) = verdict.reasons
    assert reason in found


@pytest.mark.parametrize(
    ("evidence", "policy", "reason"),
    [
        ({"number": "+493012345678"}, HUMAN, "DE (Europe/Berlin): no rule states its hours"),
        ({"number": "+16175550100"}, ARTIFICIAL, "recorded sales messages are banned"),
        ({"number": "+12125550100", "state": "X"}, ARTIFICIAL, "US, state unknown"),
        ({"number": "+18005550100"}, HUMAN, "no evidence names a place"),
        ({"number": "+16015550100"}, HUMAN, "by the clock of Etc/GMT+6: closed on Sundays"),
        ({"number": "+390612345678"}, HUMAN, "of the eve of a holiday"),
        (
            {"number": "+12125550100"},
            HoursPolicy(daily_hours=week(weekdays="09:00-17:00")),
            "closed on Sundays by the hours of the campaign",
        ),
    ],
)
def test_verdict_has_reasons(evidence: dict[str, str], policy: HoursPolicy, reason: str) -> None:
    at = utc("2026-11-29T06:30", "UTC")
    if "eve" in reason:
        at = utc("2026-12-07T09:30", ROME)
    verdict = is_open(evidence_of(**evidence), at, policy)
    assert not verdict.open
    assert any(reason in found for found in verdict.reasons)


def test_verdict_outside_daily_hours() -> None:
    policy = HoursPolicy(daily_hours=week(weekdays="09:00-17:00"))
    place = evidence_of(number="+12125550100")
    assert is_open(place, utc("2026-11-30T09:00", NEW_YORK), policy).open
    (reason,) = is_open(place, utc("2026-11-30T18:00", NEW_YORK), policy).reasons
    assert "18:00 is outside 09:00-17:00 of the campaign" in reason


def test_naive_time_is_refused() -> None:
    naive = datetime(2026, 11, 30)  # noqa: DTZ001
    place = evidence_of(number="+12125550100")
    for call in (is_open, next_open, next_openings):
        with pytest.raises(ValidationError, match="no time zone"):
            call(place, naive, HUMAN)
    with pytest.raises(ValidationError, match="no time zone"):
        open_windows(place, utc("2026-11-30", "UTC"), naive, HUMAN)


def round_the_clock(*regions: str) -> HoursPolicy:
    whole = "00:00-24:00"
    hours = week(weekdays=whole, saturday=whole, sunday=whole)
    return HoursPolicy(lawful_hours=(LawfulHours(regions=regions, week=hours, reason="test"),))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (NEW_YORK, "2026-03-08", 23),
        (NEW_YORK, "2026-03-09", 24),
        (NEW_YORK, "2026-11-01", 25),
        (PARIS, "2026-03-29", 23),
        (PARIS, "2026-10-25", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ],
)
def test_day_has_its_length(zone: str, day: str, hours: float) -> None:
    place = Place((), (Candidate("ZZ", zone),))
    start, stop = (
        day_start(date.fromisoformat(day) + timedelta(ahead), load_zone(zone)) for ahead in (0, 1)
    )
    (window,) = open_windows(place, start, stop, round_the_clock("ZZ"))
    assert window.closes - window.opens == timedelta(hours=hours)


def test_hours_within_a_clock_change() -> None:
    place = Place((), (Candidate("ZZ", NEW_YORK),))
    hours = LawfulHours(regions=("ZZ",), week=week(sunday="01:30-03:30"), reason="test")
    policy = HoursPolicy(lawful_hours=(hours,))
    spring = next_openings(place, utc("2026-03-08T00:00", NEW_YORK), policy, 1)[0]
    assert spring == (utc("2026-03-08T01:30", NEW_YORK), utc("2026-03-08T03:30", NEW_YORK))
    assert spring.closes - spring.opens == timedelta(hours=1)
    fall = open_windows(
        place, utc("2026-11-01T00:00", NEW_YORK), utc("2026-11-02T00:00", NEW_YORK), policy
    )
    assert [closes - opens for opens, closes in fall] == [
        timedelta(minutes=30),
        timedelta(hours=2),
    ]


NUMBERS = [
    "+12125550100",
    "+13055550100",
    "+16015550100",
    "+12055550100",
    "+12075550100",
    "+16055550100",
    "+15045550100",
    "+14845550100",
    "+16045550100",
    "+61280000000",
    "+33123456789",
    "+390612345678",
    "+34912345678",
    "+27211234567",
    "+576012345678",
    "+351211234567",
]
SECOND_STATES = [None, "TX", "KY", "UT", "RI", "HI", "Atlantis"]
PLACES = st.builds(
    lambda number, state: evidence_of(number=number, state=state),
    st.sampled_from(NUMBERS),
    st.sampled_from(SECOND_STATES),
)
CHANGES = [
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 10, 3, 16, tzinfo=UTC),
    datetime(2026, 4, 4, 16, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 12, 24, 12, tzinfo=UTC),
    datetime(2026, 10, 18, 5, tzinfo=UTC),
]
MOMENTS = st.builds(
    lambda moment, minutes: moment + minutes * MINUTE,
    st.sampled_from(CHANGES),
    st.integers(-3 * 24 * 60, 3 * 24 * 60) | st.integers(-10 * 366 * 24 * 60, 4 * 366 * 24 * 60),
)
QUARTERS = st.integers(0, 96)


@st.composite
def weeks(draw: st.DrawFn) -> Week:
    def text() -> str:
        opens, closes = sorted((draw(QUARTERS), draw(QUARTERS)))
        if opens == closes:
            return ""
        return "-".join(f"{n // 4:02}:{n % 4 * 15:02}" for n in (opens, closes))

    return week(weekdays=text(), saturday=text(), sunday=text())


POLICIES = st.builds(
    HoursPolicy, voice=st.sampled_from(list(Voice)), daily_hours=st.none() | weeks()
)


def rows_of(name: str) -> list[dict[str, str]]:
    text = files("jobs.rules.hours").joinpath("data", name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


HOURS, AUTOMATED = rows_of("hours.csv"), rows_of("automated.csv")


def is_open_by_wall_clock(candidate: Candidate, at: datetime, policy: HoursPolicy) -> bool:
    """Return True if a candidate is open by the cells of the CSV files and the wall clock.

    Unknown states, Louisiana's and Spain's further holidays and Italy's eves are left out.
    """
    wall = at.astimezone(load_zone(candidate.zone))
    if policy.daily_hours is not None:
        days = policy.daily_hours.model_dump(mode="json")
        if not within(list(days.values())[wall.weekday()], wall):
            return False
    if candidate.region == "US-MS":
        wall = at.astimezone(load_zone("Etc/GMT+6"))
    country = candidate.region[:2]
    in_force = [
        row
        for region in dict.fromkeys((candidate.region, country))
        for row in HOURS
        if row["region"] == region and (row["effective"] or "0001-01-01") <= str(wall.date())
    ][:1]
    if not in_force:
        return False
    if policy.voice is Voice.ARTIFICIAL:
        in_force += [row for row in AUTOMATED if row["region"] == candidate.region]
    column = {5: "saturday", 6: "sunday"}.get(wall.weekday(), "weekdays")
    for row in in_force:
        kinds = row.get("holidays", "").split("+")
        state = candidate.region[3:] if "state" in kinds else None
        closed = holidays.country_holidays(country, subdiv=state, years=wall.year)
        if kinds != [""] and wall.date() in closed:
            return False
        if {"state", "federal"} <= set(kinds) and wall.date() in holidays.country_holidays(
            country, years=wall.year
        ):
            return False
        if not within(row[column].split(), wall):
            return False
    return True


def within(spans: list[str], wall: datetime) -> bool:
    now = f"{wall:%H:%M}"
    return any(opens <= now < closes for opens, closes in (span.split("-") for span in spans))


MODELED = st.builds(
    lambda number, state: evidence_of(number=number, state=state),
    st.sampled_from([n for n in NUMBERS if n[:3] not in ("+34", "+39") and "504" not in n]),
    st.sampled_from([s for s in SECOND_STATES if s != "Atlantis"]),
)


@given(MODELED, MOMENTS, POLICIES)
def test_verdict_agrees_with_the_files_and_the_wall_clock(
    place: Place, at: datetime, policy: HoursPolicy
) -> None:
    expected = all(is_open_by_wall_clock(one, at, policy) for one in place.candidates)
    verdict = is_open(place, at, policy)
    assert verdict.open == expected
    assert bool(verdict.reasons) != verdict.open


@given(PLACES, MOMENTS, POLICIES)
def test_verdict_agrees_with_the_next_openings(
    place: Place, at: datetime, policy: HoursPolicy
) -> None:
    found = next_openings(place, at, policy)
    first = next_open(place, at, policy)
    assert first == (found[0].opens if found else None)
    assert is_open(place, at, policy).open == (first == at)
    for opens, closes in found:
        assert at <= opens < closes
        assert is_open(place, opens, policy).open
        assert is_open(place, closes - MINUTE / 60, policy).open
        assert not is_open(place, closes, policy).open
        assert opens == at or not is_open(place, opens - MINUTE / 60, policy).open
    for earlier, later in pairwise(found):
        assert earlier.closes < later.opens


@given(PLACES, MOMENTS, POLICIES, st.integers(0, 72 * 60))
def test_windows_hold_exactly_the_open_moments(
    place: Place, start: datetime, policy: HoursPolicy, minutes: int
) -> None:
    stop = start + timedelta(hours=72)
    at = start + minutes * MINUTE
    windows = list(open_windows(place, start, stop, policy))
    assert all(start <= opens < closes <= stop for opens, closes in windows)
    inside = any(opens <= at < closes for opens, closes in windows)
    assert inside == (at < stop and is_open(place, at, policy).open)


@given(PLACES, MOMENTS, POLICIES)
def test_place_is_open_only_while_every_candidate_is(
    place: Place, at: datetime, policy: HoursPolicy
) -> None:
    alone = [Place((), (candidate,)) for candidate in place.candidates]
    expected = all(is_open(one, at, policy).open for one in alone)
    assert is_open(place, at, policy).open == expected


@given(PLACES, MOMENTS, POLICIES, weeks())
def test_daily_hours_only_narrow(
    place: Place, at: datetime, policy: HoursPolicy, daily: Week
) -> None:
    wide = policy.model_copy(update={"daily_hours": None})
    narrow = policy.model_copy(update={"daily_hours": daily})
    allowed = all(
        any(
            opens <= wall.hour * 60 + wall.minute < closes
            for opens, closes in daily.days[wall.weekday()]
        )
        for wall in (at.astimezone(load_zone(zone)) for zone in place.zones)
    )
    assert is_open(place, at, narrow).open == (is_open(place, at, wide).open and allowed)


@given(PLACES, MOMENTS, POLICIES)
def test_artificial_voice_only_narrows(place: Place, at: datetime, policy: HoursPolicy) -> None:
    artificial, human = (policy.model_copy(update={"voice": voice}) for voice in Voice)
    assert not is_open(place, at, artificial).open or is_open(place, at, human).open


@given(PLACES, MOMENTS, weeks())
def test_lawful_hours_change_no_other_region(place: Place, at: datetime, stated: Week) -> None:
    policy = HoursPolicy(
        lawful_hours=(LawfulHours(regions=("GB", "US-AK"), week=stated, reason="test"),)
    )
    assert is_open(place, at, policy).open == is_open(place, at, ARTIFICIAL).open


@given(MOMENTS, weeks())
def test_lawful_hours_open_a_region_without_a_rule(at: datetime, stated: Week) -> None:
    place = evidence_of(number="+442079460123")
    policy = HoursPolicy(lawful_hours=(LawfulHours(regions=("GB",), week=stated, reason="test"),))
    wall = at.astimezone(load_zone("Europe/London"))
    spans = [str(span) for span in stated.days[wall.weekday()]]
    assert is_open(place, at, policy).open == within(spans, wall)


def test_every_region_of_the_tables_opens_in_the_federal_day() -> None:
    """No American rule opens before 08:00 or after 21:00, but for Mississippi's fixed clock."""
    rules = [rule for found in load_tables().hours.values() for rule in found]
    american: list[Rule] = [rule for rule in rules if rule.region.startswith("US")]
    assert all(rule.table is Table.HOURS for rule in american)
    for rule in american:
        for spans in rule.week.days:
            assert all(time(8) <= time(span.opens // 60, span.opens % 60) for span in spans)
            assert all(span.closes <= 21 * 60 for span in spans)
