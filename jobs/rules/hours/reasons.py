"""Reasons for a candidate being closed, in words and without personal data."""

from datetime import date, datetime, time

from jobs.rules.calendar import Spans
from jobs.rules.hours.closed_days import holiday_name, is_eve, open_spans
from jobs.rules.hours.readings import Candidate
from jobs.rules.hours.rulebook import Rulebook
from jobs.rules.hours.tables import Rule, Table
from jobs.rules.hours.weekdays import WEEKDAY_NAMES, contains, describe_spans
from jobs.rules.zones import load_zone


def why_closed(book: Rulebook, candidate: Candidate, at: datetime) -> str:
    """Return the reason for a closed candidate.

    Args:
        book: Rules of the campaign.
        candidate: The candidate, closed at `at`.
        at: The time, timezone-aware.
    """
    where = describe_candidate(book, candidate)
    daily = book.policy.daily_hours
    local = at.astimezone(load_zone(candidate.zone))
    if daily is not None and not contains(daily.days[local.weekday()], local.time()):
        hours = daily.days[local.weekday()]
        return f"{where}: {_outside(local.date(), local.time(), hours)} of the campaign"
    local = at.astimezone(load_zone(book.clock(candidate.region) or candidate.zone))
    rules = book.hours(candidate.region, local.date())
    if not rules:
        return f"{where}: no rule states its hours, so it is closed"
    day, wall = local.date(), local.time()
    if (clock := book.clock(candidate.region)) is not None:
        where += f" by the clock of {clock}"
    closing = (rule for rule in rules if not contains(open_spans(rule, day), wall))
    return f"{where}: {'; '.join(_closed_by(rule, day, wall) for rule in closing)}"


def describe_candidate(book: Rulebook, candidate: Candidate) -> str:
    """Return a candidate in words."""
    if book.parts(candidate.region):
        return f"{candidate.region}, state unknown ({candidate.zone})"
    return str(candidate)


def describe_closed_day(rule: Rule, day: date) -> str | None:
    """Return the reason for a local day without any hours; None if the day has hours."""
    if not any(rule.week.days):
        banned = rule.scope or "no hours"
        return f"closed on all days: {banned}"
    if (holiday := holiday_name(rule, day)) is not None:
        return f"closed on {holiday}"
    if not open_spans(rule, day):
        return f"closed on {WEEKDAY_NAMES[day.weekday()]}s"
    return None


def describe_source(rule: Rule) -> str:
    """Return the region of a rule and its citation."""
    table = ", artificial voices" if rule.table is Table.AUTOMATED else ""
    return f"{rule.region}{table}: {rule.citation}"


def _closed_by(rule: Rule, day: date, wall: time) -> str:
    reason = describe_closed_day(rule, day) or _outside(day, wall, open_spans(rule, day))
    if is_eve(rule, day):
        reason += " of the eve of a holiday"
    return f"{reason} ({describe_source(rule)})"


def _outside(day: date, wall: time, hours: Spans) -> str:
    if not hours:
        return f"closed on {WEEKDAY_NAMES[day.weekday()]}s by the hours"
    return f"{wall:%H:%M} is outside {describe_spans(hours)}"
