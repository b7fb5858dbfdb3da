"""Report files: JSON, CSV tables, and one self-contained HTML page."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from jobs.analytics import charts
from jobs.analytics.grouping import Group, group_values
from jobs.analytics.invariants import check_invariants
from jobs.analytics.model import Report, Sums
from jobs.errors import UsageError
from jobs.privacy.masking import mask_text

NONE: Final = "\N{EN DASH}"
"""Text of a figure without a value."""
MISSING_LIBRARY: Final = "the report page needs plotly and jinja2: pip install 'ringline[report]'"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Paths of a written report.

    Attributes:
        json: The report as data.
        html: The page.
        metrics: Table of the ratios.
        breakdowns: Table of the figures by column and value.
        days: Table of the sums by local day.
        hours: Table of the sums by hour of the week.
    """

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
    """Write a report as files.

    Args:
        report: The report.
        folder: Folder of the files, created if necessary.

    Returns:
        Paths of the files.

    Raises:
        UsageError: The libraries for the page are not installed.
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
    _write_csv(files.days, ["day", *sums], ((day.day, *_figures(day.sums)) for day in report.days))
    _write_csv(
        files.hours,
        ["weekday", "hour", *sums],
        ((charts.WEEKDAYS[hour.weekday], hour.hour, *_figures(hour.sums)) for hour in report.hours),
    )
    return files


def as_json(report: Report) -> str:
    """Return a report as JSON, which `Report.model_validate_json` reads."""
    return report.model_dump_json(indent=2) + "\n"


def as_html(report: Report) -> str:
    """Return a report as one page that includes its styles, charts and chart library.

    Texts that look like phone numbers or email addresses are masked.

    Raises:
        UsageError: The libraries for the page are not installed.
    """
    columns = [_Column.of(name, values) for name, values in sorted(report.breakdowns.items())]
    shown = [column for column in columns if len(column.groups) > 1]
    page_charts = {column.chart: charts.conversion(column.groups) for column in shown}
    page_charts |= {name: draw(report) for name, draw, has_data in CHARTS if has_data(report)}
    page: str = _template().render(
        report=report.model_copy(update={"campaign": mask_text(report.campaign)}),
        period=_period(report),
        problems=check_invariants(report),
        figures=[Figure.of(report, *entry) for entry in FIGURES],
        charts=page_charts,
        columns=shown,
        plotly_js=_plotly_js(),
    )
    return page


@dataclass(frozen=True, slots=True)
class Figure:
    """Key figure at the top of the page.

    Attributes:
        label: Name of the figure.
        value: Formatted value.
        hint: Unit or definition.
    """

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
        """Return the figure that `read` takes from a report and `form` formats."""
        return cls(label, form(read(report)), hint)


@dataclass(frozen=True, slots=True)
class _Column:
    """Breakdown on the page. `grouped` is True if a group has several values."""

    name: str
    chart: str
    groups: Sequence[Group]
    values: int
    grouped: bool

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> "_Column":
        groups = [replace(group, label=mask_text(group.label)) for group in group_values(values)]
        return cls(name, f"column:{name}", groups, len(values), len(groups) < len(values))


def _figures(sums: Sums) -> Iterable[object]:
    return (getattr(sums, name) for name in Sums.model_fields)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def count(value: float | None) -> str:
    """Return `1,234`."""
    return NONE if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """Return `1,234.50`."""
    return NONE if value is None else f"{value:,.2f}"


def percent(value: float | None) -> str:
    """Return `12.5%` for 0.125."""
    return NONE if value is None else f"{value:.1%}"


def duration(seconds: float | None) -> str:
    """Return `1:05` for 65 seconds, and `1:01:01` for 3,661 seconds."""
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
    ("Attempts per lead", "of leads tried", decimal, _metric("attempts_per_lead")),
    ("Average call", "minutes per answered call", duration, _metric("acd")),
    ("Handle time", "minutes per handled call", duration, _metric("aht")),
    ("Talk time", "hours in total", duration, lambda report: report.totals.sums.seconds),
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
"""Name, chart and condition of each chart; without data, the chart is left out."""


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
        raise UsageError(MISSING_LIBRARY) from None
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
        raise UsageError(MISSING_LIBRARY) from None
    return str(get_plotlyjs())
