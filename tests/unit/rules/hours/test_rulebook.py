"""Choice of rules, holidays, and the duties beside the hours."""

from datetime import UTC, date, datetime, timedelta

import pytest

from jobs.rules.calendar import Spans
from jobs.rules.hours import (
    Cap,
    Holidays,
    HoursPolicy,
    LawfulHours,
    Table,
    Voice,
    caps_for,
    consent_required,
    evidence_of,
    rest_after_refusal,
    rules_for,
    week,
)
from jobs.rules.hours.clocks import STATES
from jobs.rules.hours.closed_days import holiday_name, open_spans
from jobs.rules.hours.rulebook import rulebook
from jobs.rules.hours.tables import load_tables
from jobs.rules.hours.weekdays import describe_spans

HUMAN, ARTIFICIAL = HoursPolicy(voice=Voice.HUMAN), HoursPolicy()
MONDAY, TUESDAY, SATURDAY, SUNDAY = (date(2026, 11, day) for day in (16, 17, 21, 22))
NOON = datetime(2026, 11, 16, 17, tzinfo=UTC)
FEDERAL = "08:00-21:00"


def hours(region: str, day: date, policy: HoursPolicy = HUMAN) -> str:
    return describe_spans(rulebook(policy).spans(region, day))


@pytest.mark.parametrize(
    ("region", "monday", "saturday", "sunday"),
    [
        ("US-NY", FEDERAL, FEDERAL, FEDERAL),
        ("US-MO", FEDERAL, FEDERAL, FEDERAL),
        ("US-AL", "08:00-20:00", "08:00-20:00", "closed"),
        ("US-FL", "08:00-20:00", "08:00-20:00", "08:00-20:00"),
        ("US-KY", "10:00-21:00", "10:00-21:00", "10:00-21:00"),
        ("US-PA", "09:00-19:00", "09:00-19:00", "closed"),
        ("US-RI", "09:00-18:00", "10:00-17:00", "closed"),
        ("US-TX", "09:00-21:00", "09:00-21:00", "12:00-21:00"),
        ("AU", "09:00-20:00", "09:00-17:00", "closed"),
        ("CA-ON", "09:00-21:30", "10:00-18:00", "10:00-18:00"),
        ("CA", "09:00-21:30", "10:00-18:00", "10:00-18:00"),
        ("FR", "10:00-13:00 14:00-20:00", "closed", "closed"),
        ("GB", "closed", "closed", "closed"),
        ("DE", "closed", "closed", "closed"),
    ],
)
def test_hours_of_the_narrowest_region(
    region: str, monday: str, saturday: str, sunday: str
) -> None:
    expected = [monday, saturday, sunday]
    assert [hours(region, day) for day in (MONDAY, SATURDAY, SUNDAY)] == expected


@pytest.mark.parametrize(
    ("region", "monday", "saturday", "sunday"),
    [
        ("US-NY", FEDERAL, FEDERAL, FEDERAL),
        ("US-CA", "09:00-21:00", "09:00-21:00", "09:00-21:00"),
        ("US-IN", "09:00-20:00", "09:00-20:00", "09:00-20:00"),
        ("US-SC", "08:00-19:00", "08:00-19:00", "08:00-19:00"),
        ("US-ME", "09:00-17:00", "closed", "closed"),
        ("US-KY", "10:00-21:00", "10:00-21:00", "10:00-21:00"),
        ("US-OK", "09:00-20:00", "09:00-20:00", "09:00-20:00"),
        ("US-NV", "09:00-20:00", "09:00-20:00", "09:00-20:00"),
        ("US-SD", "09:00-21:00", "closed", "closed"),
        ("US-MA", "closed", "closed", "closed"),
        ("US-WY", "closed", "closed", "closed"),
        ("FR", "10:00-13:00 14:00-20:00", "closed", "closed"),
    ],
)
def test_artificial_voice_is_bound_by_both_tables(
    region: str, monday: str, saturday: str, sunday: str
) -> None:
    expected = [monday, saturday, sunday]
    assert [hours(region, day, ARTIFICIAL) for day in (MONDAY, SATURDAY, SUNDAY)] == expected


@pytest.mark.parametrize("region", STATES)
def test_artificial_voice_has_no_wider_hours(region: str) -> None:
    human, artificial = rulebook(HUMAN), rulebook(ARTIFICIAL)
    for ahead in range(370):
        day = MONDAY + timedelta(ahead)
        assert_within(artificial.spans(region, day), human.spans(region, day))


def assert_within(inner: Spans, outer: Spans) -> None:
    for span in inner:
        assert any(o.opens <= span.opens and span.closes <= o.closes for o in outer)


def test_unknown_state_has_the_strictest_hours_of_all_states() -> None:
    """The figures that the source of the tables states: Mon-Fri 10-18, Sat 10-17, else closed."""
    rows = [rule for rules in load_tables().hours.values() for rule in rules]
    american = [rule for rule in rows if rule.region.startswith("US")]
    for ahead in range(2 * 366):
        day = date(2026, 11, 1) + timedelta(ahead)
        holiday = any(holiday_name(rule, day) for rule in american)
        expected = ["10:00-18:00"] * 5 + ["10:00-17:00", "closed"]
        assert hours("US", day) == ("closed" if holiday else expected[day.weekday()])
        assert hours("US", day, ARTIFICIAL) == "closed"


def test_unknown_state_is_within_every_state() -> None:
    for ahead in range(370):
        day = MONDAY + timedelta(ahead)
        for state in STATES:
            country = state[:2]
            unknown = rulebook(HUMAN).spans(country, day)
            assert_within(unknown, rulebook(HUMAN).spans(state, day))


def test_unknown_state_has_the_caps_and_consent_of_all_states() -> None:
    place = evidence_of(number="+12125550100", state="Atlantis")
    assert {cap.cap for cap in caps_for(place, NOON, HUMAN)} == {Cap(3, timedelta(hours=24))}
    assert {duty.region for duty in consent_required(place, NOON, HUMAN)} == {"US-CT"}


@pytest.mark.parametrize(
    ("region", "day", "expected"),
    [
        ("US-PA", date(2026, 10, 16), FEDERAL),
        ("US-PA", date(2026, 10, 19), "09:00-19:00"),
        ("US-OR", date(2025, 12, 31), FEDERAL),
        ("US-OR", date(2026, 1, 2), "08:00-20:00"),
        ("FR", date(2023, 2, 28), "closed"),
        ("FR", date(2023, 3, 1), "10:00-13:00 14:00-20:00"),
        ("AU", date(2017, 3, 28), "closed"),
        ("US-NY", date(1992, 12, 18), "closed"),
    ],
)
def test_rule_is_in_force_from_its_local_day_on(region: str, day: date, expected: str) -> None:
    assert hours(region, day) == expected


@pytest.mark.parametrize(
    ("region", "day", "name"),
    [
        ("US-LA", date(2026, 11, 1), "All Saints' Day"),
        ("US-LA", date(2027, 11, 1), "All Saints' Day"),
        ("US-LA", date(2026, 2, 17), "Mardi Gras"),
        ("US-AL", date(2026, 4, 27), "Confederate Memorial Day"),
        ("US-UT", date(2026, 7, 24), "Pioneer Day"),
        ("US-RI", date(2026, 8, 10), "Victory Day"),
        ("US-PA", date(2026, 12, 25), "Christmas Day"),
        ("CA-BC", date(2026, 8, 3), "British Columbia Day"),
        ("AU", date(2026, 1, 26), "Australia Day"),
        ("FR", date(2026, 5, 25), "Pentecost Monday"),
        ("ES", date(2026, 10, 12), "National Day"),
        ("ES", date(2026, 9, 11), "National Day of Catalonia"),
        ("IT", date(2026, 6, 2), "Republic Day"),
        ("ZA", date(2026, 4, 27), "Freedom Day"),
        ("CO", date(2026, 7, 20), "Independence Day"),
    ],
)
def test_closed_on_the_holidays_of_the_region(region: str, day: date, name: str) -> None:
    rule = load_tables().hours[region][0]
    assert holiday_name(rule, day) == name
    assert hours(region, day) == "closed"


def test_state_without_holidays_is_open_on_them() -> None:
    assert hours("US-FL", date(2026, 12, 25)) == "08:00-20:00"
    assert hours("CA-ON", date(2026, 12, 25)) == "09:00-21:30"


def test_eve_of_an_italian_holiday_has_saturday_hours() -> None:
    assert hours("IT", date(2026, 12, 7)) == "10:00-19:00"
    assert hours("IT", date(2026, 12, 9)) == "09:00-20:00"
    assert hours("FR", date(2026, 11, 10)) == "10:00-13:00 14:00-20:00"


def lawful(*regions: str, **fields: str) -> HoursPolicy:
    open_hours = week(weekdays="07:00-22:00", sunday="07:00-22:00")
    stated = LawfulHours(regions=regions, week=open_hours, reason="contract of 2026", **fields)
    return HoursPolicy(lawful_hours=(stated,))


def test_lawful_hours_replace_the_rules_of_their_regions_only() -> None:
    policy = lawful("GB", "US-MA")
    assert hours("GB", MONDAY, policy) == "07:00-22:00"
    assert hours("US-MA", SUNDAY, policy) == "07:00-22:00"
    assert hours("US-MA", SATURDAY, policy) == "closed"
    assert hours("US-WY", MONDAY, policy) == "closed"
    assert hours("US-NY", MONDAY, policy) == FEDERAL
    assert hours("DE", MONDAY, policy) == "closed"


def test_lawful_hours_of_a_country_leave_its_listed_states() -> None:
    policy = lawful("US")
    assert hours("US-NY", MONDAY, policy) == "07:00-22:00"
    assert hours("US-SC", MONDAY, policy) == "08:00-19:00"
    assert hours("US-FL", MONDAY, policy) == "08:00-20:00"
    assert hours("US", MONDAY, policy) == "closed"


def test_lawful_hours_have_local_time_and_holidays_of_their_own() -> None:
    assert rulebook(lawful("US-MS")).clock("US-MS") is None
    assert rulebook(HUMAN).clock("US-MS") == "Etc/GMT+6"
    assert hours("FR", date(2026, 5, 25), lawful("FR")) == "07:00-22:00"
    closed = LawfulHours(
        regions=("FR",),
        week=week(weekdays=FEDERAL),
        holidays=(Holidays.NATIONAL,),
        reason="contract",
    )
    assert hours("FR", date(2026, 5, 25), HoursPolicy(lawful_hours=(closed,))) == "closed"


def test_lawful_hours_keep_caps_and_consent() -> None:
    place = evidence_of(number="+33123456789")
    assert caps_for(place, NOON, lawful("FR")) == caps_for(place, NOON, ARTIFICIAL)
    assert consent_required(place, NOON, lawful("FR"))


def test_policy_survives_json() -> None:
    policy = lawful("GB").model_copy(update={"daily_hours": week(weekdays="09:00-17:00")})
    again = HoursPolicy.model_validate_json(policy.model_dump_json())
    assert again == policy
    assert rulebook(again) is rulebook(policy)


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "  "},
        {"regions": ()},
        {"regions": ("england",)},
        {"regions": ("XX",), "holidays": ("national",)},
        {"regions": ("FR",), "holidays": ("state",)},
    ],
)
def test_lawful_hours_are_validated(fields: dict[str, object]) -> None:
    whole: dict[str, object] = {"regions": ("GB",), "week": {}, "reason": "contract"}
    LawfulHours.model_validate(whole)
    with pytest.raises(ValueError, match="validation error"):
        LawfulHours.model_validate(whole | fields)


def test_region_has_one_set_of_lawful_hours() -> None:
    stated = LawfulHours(regions=("GB", "IE"), week=week(), reason="contract")
    other = LawfulHours(regions=("IE",), week=week(), reason="contract")
    with pytest.raises(ValueError, match="a region twice: IE"):
        HoursPolicy(lawful_hours=(stated, other))


def test_florida_keeps_the_federal_consent_and_its_own_cap() -> None:
    place = evidence_of(number="+13055550100")
    assert [duty.region for duty in consent_required(place, NOON, ARTIFICIAL)] == ["US"]
    assert consent_required(place, NOON, HUMAN) == ()
    (cap,) = caps_for(place, NOON, HUMAN)
    assert (cap.region, cap.cap, cap.citation) == (
        "US-FL",
        Cap(3, timedelta(hours=24)),
        "Fla. Stat. 501.616(6)",
    )


@pytest.mark.parametrize(
    ("number", "day", "voice", "regions"),
    [
        ("+33123456789", "2026-08-10", Voice.ARTIFICIAL, []),
        ("+33123456789", "2026-08-11", Voice.HUMAN, ["FR"]),
        ("+34912345678", "2026-08-11", Voice.HUMAN, ["ES"]),
        ("+34912345678", "2023-06-28", Voice.HUMAN, []),
        ("+12035550100", "2026-08-11", Voice.HUMAN, ["US-CT"]),
        ("+12035550100", "2026-08-11", Voice.ARTIFICIAL, ["US", "US-CT"]),
        ("+61280000000", "2026-08-11", Voice.ARTIFICIAL, []),
    ],
)
def test_consent(number: str, day: str, voice: Voice, regions: list[str]) -> None:
    at = datetime.fromisoformat(f"{day}T12:00+00:00")
    duties = consent_required(evidence_of(number=number), at, HoursPolicy(voice=voice))
    assert [duty.region for duty in duties] == regions


@pytest.mark.parametrize(
    ("number", "voice", "caps"),
    [
        ("+12125550100", Voice.ARTIFICIAL, []),
        ("+12075550100", Voice.ARTIFICIAL, [Cap(1, timedelta(hours=8))]),
        ("+12075550100", Voice.HUMAN, []),
        ("+33123456789", Voice.HUMAN, [Cap(4, timedelta(days=30))]),
        ("+576012345678", Voice.HUMAN, [Cap(1, timedelta(hours=24))]),
        ("+16045550100", Voice.HUMAN, [Cap(1, timedelta(days=30))]),
    ],
)
def test_caps(number: str, voice: Voice, caps: list[Cap]) -> None:
    found = caps_for(evidence_of(number=number), NOON, HoursPolicy(voice=voice))
    assert [cap.cap for cap in found] == caps


def test_rest_after_a_refusal() -> None:
    (rest,) = rest_after_refusal(evidence_of(number="+33123456789"))
    assert (rest.region, rest.rest) == ("FR", timedelta(days=60))
    assert rest_after_refusal(evidence_of(number="+12125550100")) == ()


def test_rules_of_a_place_name_their_sources() -> None:
    place = evidence_of(number="+12075550100", state="NY")
    maine, new_york = rules_for(place, NOON, ARTIFICIAL)
    assert [(rule.region, rule.table) for rule in maine.rules] == [
        ("US", Table.HOURS),
        ("US-ME", Table.AUTOMATED),
    ]
    assert [rule.citation for rule in new_york.rules] == ["47 CFR 64.1200(c)(1); 16 CFR 310.4(c)"]
    (germany,) = rules_for(evidence_of(number="+493012345678"), NOON, ARTIFICIAL)
    assert germany.rules == ()


def test_holiday_of_a_rule_without_holidays() -> None:
    rule = load_tables().hours["US"][0]
    assert holiday_name(rule, date(2026, 12, 25)) is None
    assert describe_spans(open_spans(rule, date(2026, 12, 25))) == FEDERAL
