"""Consistency checks: the figures of a report come from different rows and must agree."""

from collections.abc import Iterator

from jobs.analytics.model import Report, Sums


def check_invariants(report: Report) -> list[str]:
    """Check that the figures of a report agree with each other.

    Returns:
        One line per violated invariant; empty if all hold.
    """
    return [*_check_leads(report), *_check_buckets(report), *_check_breakdowns(report)]


def _check_leads(report: Report) -> Iterator[str]:
    totals = report.totals
    enrolled = sum(report.enrolments.values())
    if enrolled != totals.leads:
        yield f"leads: {totals.leads} in the list, but {enrolled} by enrollment status"
    if totals.leads_tried > totals.leads:
        yield f"leads: {totals.leads} in the list, but {totals.leads_tried} tried"
    if totals.ended > totals.sums.attempts:
        yield f"calls: {totals.sums.attempts} placed, but {totals.ended} ended"


def _check_buckets(report: Report) -> Iterator[str]:
    by_day = sum((day.sums for day in report.days), Sums())
    for name in Sums.model_fields:
        by_calls, by_buckets = getattr(report.totals.sums, name), getattr(by_day, name)
        if by_calls != by_buckets:
            yield f"{name}: {by_calls} by calls, but {by_buckets} by rollup"
    by_hour = sum(hour.sums.attempts for hour in report.hours) + report.attempts_without_zone
    if by_hour != by_day.attempts:
        yield f"attempts: {by_day.attempts} by day, but {by_hour} by hour"


def _check_breakdowns(report: Report) -> Iterator[str]:
    totals = {
        "leads": report.totals.leads,
        "attempts": report.totals.sums.attempts,
        "conversions": report.totals.sums.conversions,
        "seconds": report.totals.sums.seconds,
    }
    for column, values in report.breakdowns.items():
        for name, total in totals.items():
            by_value = sum(getattr(value, name) for value in values)
            if by_value != total:
                yield f"{name}: {total} in total, but {by_value} over the values of {column}"


check_books = check_invariants
