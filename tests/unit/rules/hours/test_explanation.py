"""Explanation of a lead's calling hours."""

from datetime import UTC, datetime

from jobs.rules.hours import (
    DISCLAIMER,
    VERSION,
    HoursPolicy,
    LawfulHours,
    Source,
    Voice,
    describe_rule,
    evidence_of,
    explain,
    week,
)

MORNING = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""Wednesday, 06:00 in Chicago, the day before Thanksgiving."""


def test_explanation_is_complete() -> None:
    place = evidence_of(number="+12125550182", state="LA", postal_code="1", zone="UTC")
    found = explain(place, MORNING, HoursPolicy(voice=Voice.HUMAN))
    assert [reading.source for reading in found.readings] == [
        Source.NUMBER,
        Source.STATE,
        Source.POSTAL_CODE,
        Source.ZONE,
    ]
    assert not found.verdict.open
    assert len(found.rules) == len(place.candidates) == 4
    assert all(rule.citation and rule.checked for one in found.rules for rule in one.rules)
    # Pennsylvania is one of the states that the postal code leaves open, and closes on Friday.
    opens = [f"{window.opens:%a %d %H:%M}" for window in found.openings]
    assert opens == ["Wed 25 16:00", "Sat 28 16:00", "Mon 30 16:00"]
    text = "\n".join(found.closers)
    assert "06:00 is outside 08:00-20:00 (US-LA" in text
    assert "the postal code is not understood" in text
    assert "Sunday (US-LA: LPSC General Order" in text
    assert "holiday Thanksgiving Day on 2026-11-26 (US-LA" in text
    assert "more calls than 3 per 24 h (US-FL" in text
    assert "no consent: prior express written consent (US-CT" in text
    assert any("Public Service Commission" in note for note in found.notes)
    assert found.version == VERSION
    assert found.disclaimer == DISCLAIMER
    assert "not legal advice" in DISCLAIMER


def test_explanation_without_a_place() -> None:
    found = explain(evidence_of(number="+18005550100"), MORNING, HoursPolicy())
    assert found.openings == ()
    assert found.rules == ()
    assert found.closers == ("no evidence names a place",)


def test_explanation_names_rules_to_come() -> None:
    before = datetime(2026, 8, 1, 12, tzinfo=UTC)
    pennsylvania = explain(evidence_of(number="+12155550100"), before, HoursPolicy())
    assert any(line.startswith("rule from 2026-10-18") for line in pennsylvania.closers)
    france = explain(evidence_of(number="+33123456789"), before, HoursPolicy())
    assert any(line.startswith("consent needed from 2026-08-11") for line in france.closers)
    assert any(line.startswith("a refusal, for 60 days (FR") for line in france.closers)


def test_explanation_holds_no_personal_value() -> None:
    place = evidence_of(number="+12125550182", state="Atlantis", postal_code="99999999")
    text = repr(explain(place, MORNING, HoursPolicy()))
    for value in ("2125550182", "Atlantis", "99999999"):
        assert value not in text


def test_rule_on_one_line() -> None:
    place = evidence_of(number="+16015550100")
    found = explain(place, MORNING, HoursPolicy())
    assert describe_rule(found.rules[0].rules[0]) == (
        "US-MS: Miss. Code 77-3-723(1) [primary]: Mon-Fri 08:00-20:00, Sat 08:00-20:00, Sun closed,"
        " by the clock of Etc/GMT+6"
    )
    maine = explain(evidence_of(number="+12075550100"), MORNING, HoursPolicy())
    assert describe_rule(maine.rules[0].rules[1]).startswith(
        "US-ME, artificial voices: 10 M.R.S. 1498(3) [quoted]: Mon-Fri 09:00-17:00, Sat closed"
    )
    alabama = explain(evidence_of(number="+12055550100"), MORNING, HoursPolicy())
    assert "closed on state holidays" in describe_rule(alabama.rules[0].rules[0])


def test_rule_of_a_campaign_on_one_line() -> None:
    hours = week(weekdays="09:00-17:00").model_copy(update={"friday": ()})
    stated = LawfulHours(regions=("GB",), week=hours, reason="contracts of 2026")
    place = evidence_of(number="+442079460123")
    found = explain(place, MORNING, HoursPolicy(lawful_hours=(stated,)))
    assert describe_rule(found.rules[0].rules[0]) == (
        "GB: contracts of 2026 [stated by the campaign]: Mon 09:00-17:00, Tue 09:00-17:00,"
        " Wed 09:00-17:00, Thu 09:00-17:00, Fri closed, Sat closed, Sun closed"
    )
