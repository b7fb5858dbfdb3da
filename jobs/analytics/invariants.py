"""Whether a report's figures, which come from different rows, agree with each other."""

from collections.abc import Iterator

from jobs.analytics.model import Report, Sums


def check_books(report: Report) -> list[str]:
    """What does not agree, a line each; none when the books balance."""
    return [*_leads(report), *_buckets(report), *_breakdowns(report)]


def _leads(report: Report) -> Iterator[str]:
    totals = report.totals
    accounted = sum(report.enrolments.values())
    if accounted != totals.leads:
        yield f"{totals.leads} leads, but {accounted} in a state"
    if totals.leads_tried > totals.leads:
        yield f"{totals.leads} leads, but {totals.leads_tried} tried"
    if totals.ended > totals.sums.attempts:
        yield f"{totals.sums.attempts} calls placed, but {totals.ended} ended"


def _buckets(report: Report) -> Iterator[str]:
    by_day = sum((item.sums for item in report.days), Sums())
    for name in Sums.model_fields:
        total, days = getattr(report.totals.sums, name), getattr(by_day, name)
        if total != days:
            yield f"{name}: the calls say {total}, the roll-up says {days}"
    in_hours = sum(item.sums.attempts for item in report.hours) + report.attempts_without_zone
    if in_hours != by_day.attempts:
        yield f"attempts: {by_day.attempts} by day, but {in_hours} by hour"


def _breakdowns(report: Report) -> Iterator[str]:
    expected = {
        "leads": report.totals.leads,
        "attempts": report.totals.sums.attempts,
        "conversions": report.totals.sums.conversions,
        "seconds": report.totals.sums.seconds,
    }
    for column, values in report.breakdowns.items():
        for name, total in expected.items():
            found = sum(getattr(value, name) for value in values)
            if found != total:
                yield f"{name}: {total} in all, but {found} over the values of {column}"
