"""Calling windows, compared with a simple wall-clock model, on days of all lengths."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError as RuleError

from jobs.errors import ValidationError
from jobs.rules.windows import (
    ALWAYS_OPEN,
    DEFAULT_WINDOWS,
    LocalWindow,
    Week,
    WindowRule,
    WindowRules,
    is_open,
    next_open,
    week,
)
from jobs.rules.zones import load_zone

MINUTE = timedelta(minutes=1)

# Clock changes of each zone, in 2026 or before.
CHANGES = {
    "America/New_York": ("2026-03-08T07:00Z", "2026-11-01T06:00Z"),
    "America/St_Johns": ("2006-04-02T03:31Z", "2006-10-29T02:31Z"),
    "Australia/Lord_Howe": ("2026-10-03T15:30Z", "2026-04-04T15:00Z"),
    "America/Santiago": ("2026-09-06T04:00Z", "2026-04-05T03:00Z"),
    "Asia/Beirut": ("2026-03-28T22:00Z", "2026-10-24T21:00Z"),
    "Pacific/Chatham": ("2026-09-26T14:00Z", "2026-04-04T14:00Z"),
    "Europe/Lisbon": ("2026-03-29T01:00Z", "2026-10-25T01:00Z"),
    "Pacific/Apia": ("2011-12-30T10:00Z", "2011-12-30T10:00Z"),
    "Asia/Kathmandu": ("1985-12-31T18:30Z", "1985-12-31T18:30Z"),
    "Africa/Casablanca": ("2026-02-15T02:00Z", "2026-03-22T02:00Z"),
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(text: str, name: str, *, fold: int = 0) -> datetime:
    """Return a wall-clock time of a zone in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=load_zone(name), fold=fold).astimezone(UTC)


def is_open_by_wall_clock(rules: WindowRules, name: str, region: str | None, at: datetime) -> bool:
    """Return True if the window is open by the rules' JSON and the wall clock."""
    wall = at.astimezone(load_zone(name))
    plain = rules.model_dump(mode="json")["rules"]
    regions = [region, region[:2] if region else None, None]
    in_force = [
        rule
        for place in regions
        for rule in sorted(plain, key=lambda rule: str(rule["effective"]), reverse=True)
        if rule["region"] == place and rule["effective"] <= wall.date().isoformat()
    ]
    if not in_force or wall.strftime("%m-%d") in in_force[0]["holidays"]:
        return False
    spans = [span.split("-") for span in in_force[0]["week"][wall.strftime("%A").lower()]]
    return any(opens <= wall.strftime("%H:%M") < closes for opens, closes in spans)


@st.composite
def weeks(draw: st.DrawFn) -> Week:
    def day() -> list[str]:
        marks = draw(st.lists(st.integers(0, 96), max_size=6, unique=True).map(sorted))
        ends = list(pairwise(marks))[::2]
        return [f"{a // 4:02}:{a % 4 * 15:02}-{b // 4:02}:{b % 4 * 15:02}" for a, b in ends]

    kinds = st.sampled_from([day(), day(), []])
    return Week.model_validate({name: draw(kinds) for name in Week.model_fields})


@st.composite
def rule_sets(draw: st.DrawFn) -> WindowRules:
    return WindowRules(
        rules=tuple(
            WindowRule(
                region=draw(st.sampled_from([None, "US", "US-AL"])),
                effective=draw(st.sampled_from([date.min, date(2011, 12, 31), date(2026, 4, 5)])),
                week=draw(weeks()),
                holidays=draw(st.sampled_from([(), ("12-30", "04-05")])),
            )
            for _ in range(draw(st.integers(1, 3)))
        )
    )


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[str, datetime]:
    name = draw(st.sampled_from(sorted(CHANGES)))
    change = utc(draw(st.sampled_from(CHANGES[name])))
    return name, change + draw(st.integers(-3 * 24 * 60, 2 * 24 * 60)) * MINUTE


@given(rule_sets(), near_changes(), st.sampled_from([None, "US", "US-AL", "FR"]))
def test_window_is_open_as_the_wall_clock_says(
    rules: WindowRules, place: tuple[str, datetime], region: str | None
) -> None:
    name, at = place
    assert is_open(rules, (name,), region, at) is is_open_by_wall_clock(rules, name, region, at)


@given(rule_sets(), near_changes(), st.integers(0, 59_999_999))
def test_next_opening_is_the_first_open_moment(
    rules: WindowRules, place: tuple[str, datetime], microseconds: int
) -> None:
    name, at = place[0], place[1] + timedelta(microseconds=microseconds)
    opens = next_open(rules, (name,), None, at)
    assert opens == next_open(rules, (name,), None, at.astimezone(load_zone(name)))
    last = at + timedelta(days=9) if opens is None else opens
    if opens is not None:
        assert opens >= at
        assert is_open(rules, (name,), None, opens)
    moment = at
    while moment < last:
        assert not is_open(rules, (name,), None, moment)
        moment += 5 * MINUTE
    assert last == at or not is_open(rules, (name,), None, last - timedelta(microseconds=1))


@given(rule_sets(), near_changes(), st.lists(st.sampled_from(sorted(CHANGES)), max_size=2))
def test_window_is_open_if_all_candidate_zones_are(
    rules: WindowRules, place: tuple[str, datetime], more: list[str]
) -> None:
    names, at = (place[0], *more), place[1]
    assert is_open(rules, names, None, at) is all(is_open(rules, (n,), None, at) for n in names)
    opens = next_open(rules, names, None, at)
    alone = [next_open(rules, (name,), None, at) for name in names]
    if opens is not None:
        assert is_open(rules, names, None, opens)
        assert all(opening is not None and opening <= opens for opening in alone)
        assert opens == at or not is_open(rules, names, None, opens - timedelta(microseconds=1))


@given(near_changes())
def test_always_open_is_open_at_any_time_in_any_zone(place: tuple[str, datetime]) -> None:
    name, at = place
    assert is_open(ALWAYS_OPEN, (name,), None, at)
    assert next_open(ALWAYS_OPEN, (name,), "US-AL", at) == at


@pytest.mark.parametrize("zones", [(), ("Mars/Phobos",), ("Europe/Lisbon", "../etc/passwd"), ("",)])
def test_unknown_and_invalid_zones_are_never_open(zones: tuple[str, ...]) -> None:
    at = utc("2026-11-23T15:00Z")
    for rules in (DEFAULT_WINDOWS, ALWAYS_OPEN):
        assert not is_open(rules, zones, None, at)
        assert next_open(rules, zones, None, at) is None


@pytest.mark.parametrize("name", ["America/New_York", "Asia/Kathmandu", "Pacific/Chatham"])
def test_default_window_is_half_open(name: str) -> None:
    opens, closes = local("2026-11-23 08:00", name), local("2026-11-23 21:00", name)
    instant = timedelta(microseconds=1)
    states = [
        is_open(DEFAULT_WINDOWS, (name,), None, at)
        for at in (opens - instant, opens, closes - instant, closes)
    ]
    assert states == [False, True, True, False]
    assert next_open(DEFAULT_WINDOWS, (name,), None, closes) == opens + timedelta(days=1)


def test_window_without_a_zone_has_no_local_time() -> None:
    with pytest.raises(ValidationError, match="zone is unknown"):
        LocalWindow(DEFAULT_WINDOWS, ()).local(utc("2026-11-23T15:00Z"))


def test_zones_without_a_common_hour_are_never_open() -> None:
    mornings = WindowRules(rules=(WindowRule(week=week(weekdays="08:00-12:00")),))
    at = utc("2026-11-23T15:00Z")
    assert next_open(mornings, ("Pacific/Honolulu", "Europe/Paris"), None, at) is None
    assert next_open(WindowRules(rules=()), ("Europe/Paris",), None, at) is None
    assert next_open(WindowRules(rules=(WindowRule(week=Week()),)), ("UTC",), None, at) is None


def test_alabama_closes_early_and_on_sundays() -> None:
    place = ("America/Chicago",)
    for text, in_alabama, elsewhere in [
        ("2026-11-21 19:59", True, True),
        ("2026-11-21 20:00", False, True),
        ("2026-11-22 12:00", False, True),
        ("2026-11-23 08:00", True, True),
    ]:
        at = local(text, place[0])
        assert is_open(DEFAULT_WINDOWS, place, "US-AL", at) is in_alabama
        assert is_open(DEFAULT_WINDOWS, place, "US-TX", at) is elsewhere
    saturday_night = local("2026-11-21 20:00", place[0])
    monday = local("2026-11-23 08:00", place[0])
    assert next_open(DEFAULT_WINDOWS, place, "US-AL", saturday_night) == monday


def test_france_has_a_lunch_break_weekends_and_holidays() -> None:
    place = ("Europe/Paris",)
    for text, expected in [
        ("2026-11-23 09:59", False),
        ("2026-11-23 10:00", True),
        ("2026-11-23 13:00", False),
        ("2026-11-23 14:00", True),
        ("2026-11-23 20:00", False),
        ("2026-11-21 11:00", False),
        ("2026-11-11 11:00", False),
        ("2026-04-06 11:00", False),  # Easter Monday
        ("2026-05-14 11:00", False),  # Ascension
        ("2026-05-25 11:00", False),  # Whit Monday
        ("2026-05-15 11:00", True),
    ]:
        assert is_open(DEFAULT_WINDOWS, place, "FR", local(text, place[0])) is expected, text


def test_rule_applies_from_its_effective_day() -> None:
    place = ("Europe/Paris",)
    before, after = "2023-02-25 11:00", "2023-03-04 11:00"  # Saturdays
    assert is_open(DEFAULT_WINDOWS, place, "FR", local(before, place[0]))
    assert not is_open(DEFAULT_WINDOWS, place, "FR", local(after, place[0]))


def test_opening_skipped_by_a_clock_change_is_right_after_it() -> None:
    early = WindowRules(rules=(WindowRule(week=week(sunday="02:30-04:00")),))
    midnight = local("2026-03-08 00:00", "America/New_York")
    assert next_open(early, ("America/New_York",), None, midnight) == utc("2026-03-08T07:00Z")


def test_repeated_hour_opens_twice() -> None:
    place = ("America/New_York",)
    early = WindowRules(rules=(WindowRule(week=week(sunday="01:00-01:30")),))
    first, second = (local("2026-11-01 01:00", place[0], fold=fold) for fold in (0, 1))
    between = first + timedelta(minutes=40)
    assert next_open(early, place, None, first) == first
    assert next_open(early, place, None, between) == second == first + timedelta(hours=1)


def test_default_rules_round_trip_through_json() -> None:
    for rules in (DEFAULT_WINDOWS, ALWAYS_OPEN):
        again = WindowRules.model_validate_json(rules.model_dump_json())
        assert again == rules
        assert hash(again) == hash(rules)


@given(rule_sets())
def test_any_rules_round_trip_through_json(rules: WindowRules) -> None:
    assert WindowRules.model_validate_json(rules.model_dump_json()) == rules


@pytest.mark.parametrize(
    "monday",
    [
        ["8-21"],
        ["21:00-08:00"],
        ["08:00-08:00"],
        ["08:00-24:01"],
        ["08:00-12:00", "11:00-13:00"],
        ["14:00-15:00", "08:00-09:00"],
        ["25:00-26:00"],
    ],
)
def test_invalid_day_is_rejected(monday: list[str]) -> None:
    with pytest.raises(RuleError):
        Week.model_validate({"monday": monday})


@pytest.mark.parametrize("holiday", ["25-12", "2026-02-30", "easter", "Christmas", "02-30"])
def test_invalid_holiday_is_rejected(holiday: str) -> None:
    with pytest.raises(RuleError):
        WindowRule(week=Week(), holidays=(holiday,))


def test_unknown_field_is_rejected() -> None:
    with pytest.raises(RuleError):
        WindowRules.model_validate({"rules": [{"week": {"moonday": []}}]})


@given(near_changes())
def test_local_window_agrees_with_the_functions(place: tuple[str, datetime]) -> None:
    name, at = place
    window = LocalWindow(DEFAULT_WINDOWS, (name,), "US-AL")
    assume(not window.is_open(at))
    opens = window.next_open(at)
    assert opens == next_open(DEFAULT_WINDOWS, (name,), "US-AL", at)
    assert window.local(at).tzinfo == load_zone(name)
    assert isinstance(window.local(at).tzinfo, ZoneInfo)
