"""A report as files: JSON, CSV tables, and one HTML page that needs nothing else."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jobs.analytics import charts
from jobs.analytics.grouping import Group, grouped
from jobs.analytics.invariants import check_books
from jobs.analytics.model import Report, Sums
from jobs.errors import UsageError
from jobs.privacy.masking import mask_text

NONE: Final = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the parts of a written report are."""

    json: Path
    html: Path
    metrics: Path
    breakdowns: Path
    days: Path
    hours: Path


def require_charts() -> None:
    """Raise UsageError unless the libraries of the HTML page are installed."""
    _template()
    _plotly_js()


def write_report(report: Report, folder: Path) -> ReportFiles:
    """Writes all forms of the report into the folder, which is made if need be.

    Raises UsageError when the charts' library is not installed.
    """
    require_charts()  # before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    files = ReportFiles(
        json=folder / "report.json",
        html=folder / "report.html",
        metrics=folder / "metrics.csv",
        breakdowns=folder / "breakdowns.csv",
        days=folder / "days.csv",
        hours=folder / "hours.csv",
    )
    files.json.write_text(as_json(report), encoding="utf-8")
    files.html.write_text(as_html(report), encoding="utf-8")
    sums = list(Sums.model_fields)
    _write_csv(files.metrics, ["metric", "value"], report.metrics.items())
    _write_csv(
        files.breakdowns,
        ["column", "value", "leads", "attempts", "conversions", "seconds"],
        (
            (column, row.value, row.leads, row.attempts, row.conversions, row.seconds)
            for column, values in report.breakdowns.items()
            for row in values
        ),
    )
    _write_csv(
        files.days, ["day", *sums], ((item.day, *_figures(item.sums)) for item in report.days)
    )
    _write_csv(
        files.hours,
        ["weekday", "hour", *sums],
        ((charts.WEEKDAYS[i.weekday], i.hour, *_figures(i.sums)) for i in report.hours),
    )
    return files


def as_json(report: Report) -> str:
    """The report as JSON; `Report.model_validate_json` reads it."""
    return report.model_dump_json(indent=2) + "\n"


def as_html(report: Report) -> str:
    """The report as one page: its style, its charts and their library are all in it.

    What looks like a phone number or an e-mail address is masked.
    """
    columns = [_Column.of(name, values) for name, values in sorted(report.breakdowns.items())]
    telling = [column for column in columns if len(column.groups) > 1]
    drawn = {column.chart: charts.conversion(column.groups) for column in telling}
    drawn |= {name: draw(report) for name, draw, is_there in CHARTS if is_there(report)}
    page: str = _template().render(
        report=report.model_copy(update={"campaign": mask_text(report.campaign)}),
        period=_period(report),
        complaints=check_books(report),
        figures=[Figure.of(report, *entry) for entry in FIGURES],
        charts=drawn,
        columns=telling,
        plotly_js=_plotly_js(),
    )
    return page


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure on top of the page."""

    label: str
    value: str
    hint: str

    @classmethod
    def of(
        cls,
        report: Report,
        label: str,
        hint: str,
        form: Callable[[Any], str],
        read: Callable[[Report], object],
    ) -> "Figure":
        return cls(label, form(read(report)), hint)


@dataclass(frozen=True, slots=True)
class _Column:
    """A breakdown, as it is shown. summed: some groups hold several values."""

    name: str
    chart: str
    groups: Sequence[Group]
    values: int
    summed: bool

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> "_Column":
        groups = [
            Group(mask_text(g.label), g.leads, g.attempts, g.conversions, g.seconds)
            for g in grouped(values)
        ]
        return cls(name, f"column:{name}", groups, len(values), len(groups) < len(values))


def _figures(sums: Sums) -> Iterable[object]:
    return (getattr(sums, name) for name in Sums.model_fields)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    return NONE if value is None else f"{value:,.2f}"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def duration(seconds: float | None) -> str:
    """`1:05` for 65 seconds; with hours where there are any."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _metric(name: str) -> Callable[[Report], float | None]:
    return lambda report: report.metrics[name]


FIGURES: Final[Sequence[tuple[str, str, Callable[[Any], str], Callable[[Report], object]]]] = (
    ("Leads", "in the list", count, lambda report: report.totals.leads),
    ("Attempts", "calls placed", count, lambda report: report.totals.sums.attempts),
    ("Conversions", "calls that converted", count, lambda report: report.totals.sums.conversions),
    ("Connect rate", "answered per attempt", percent, _metric("asr")),
    ("Live answers", "by a human, per attempt", percent, _metric("live_answer_rate")),
    ("Contact rate", "leads reached by a human", percent, _metric("contact_rate")),
    ("Penetration", "leads tried at least once", percent, _metric("penetration")),
    ("Saturation", "attempts per lead", decimal, _metric("saturation")),
    ("Attempts per lead", "of those tried", decimal, _metric("attempts_per_lead")),
    ("Average call", "minutes of an answered call", duration, _metric("acd")),
    ("Handle time", "minutes of a handled call", duration, _metric("aht")),
    ("Talk time", "hours, in all", duration, lambda report: report.totals.sums.seconds),
    ("Conversion", "per lead", percent, _metric("conversion_per_lead")),
    ("Conversion", "per live answer", percent, _metric("conversion_per_contact")),
    ("Conversion", "per attempt", percent, _metric("conversion_per_attempt")),
    ("Calls per hour", "of the open window", decimal, _metric("calls_per_hour")),
    ("Cost", "per conversion", decimal, _metric("cost_per_conversion")),
    ("Abandon rate", "of live answers", percent, _metric("abandon_rate")),
)


CHARTS: Final[
    Sequence[tuple[str, Callable[[Report], charts.Chart], Callable[[Report], object]]]
] = (
    ("funnel", charts.funnel, lambda report: report.totals.leads),
    ("dispositions", charts.dispositions, lambda report: report.dispositions),
    ("enrolments", charts.enrolments, lambda report: report.enrolments),
    ("days", charts.days, lambda report: report.days),
    ("day_hours", charts.day_hours, lambda report: report.hours),
    ("week", charts.week, lambda report: report.hours),
    ("best_times", charts.best_times, lambda report: report.hours),
)
"""Each chart's place on the page, and what it needs to be worth one."""


def _period(report: Report) -> str:
    if not report.days:
        return "no calls yet"
    first, last = report.days[0].day, report.days[-1].day
    return f"{first}" if first == last else f"{first} to {last}"


@cache
def _template() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise UsageError(MISSING) from None
    environment = Environment(
        loader=PackageLoader("jobs.analytics"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"count": count, "percent": percent}
    return environment.get_template("report.html.j2")


@cache
def _plotly_js() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UsageError(MISSING) from None
    return str(get_plotlyjs())


MISSING: Final = "a report's charts need plotly and jinja2: pip install 'ringline[report]'"
