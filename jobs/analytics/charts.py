"""Charts of a report, in the JSON form of plotly.js.

Colors are names of CSS variables (`--layer-1`). The page substitutes their values, so that charts
follow its light or dark theme.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

from jobs.analytics.grouping import Group
from jobs.analytics.model import Hour, Report, Sums

Chart = Mapping[str, Any]
"""Arguments of `Plotly.newPlot`: `data` and `layout`."""

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ROW_HEIGHT: Final = 28
"""Pixels per bar of a horizontal chart."""
MAX_LABEL_LENGTH: Final = 26
"""Characters of a label; the rest is cut."""
LAYERS: Final = (
    ("attempts", "attempts", "--layer-1"),
    ("answered by a human", "answered_by_human", "--layer-2"),
    ("conversions", "conversions", "--layer-3"),
)


def funnel(report: Report) -> Chart:
    """Return the funnel from leads to conversions."""
    totals = report.totals
    steps = {
        "leads": totals.leads,
        "tried": totals.leads_tried,
        "reached by a human": totals.leads_reached,
        "conversions": totals.sums.conversions,
    }
    trace = {
        "type": "funnel",
        "y": list(steps),
        "x": list(steps.values()),
        "textinfo": "value+percent initial",
        "marker": {"color": ["--layer-1", "--layer-1", "--layer-2", "--layer-3"]},
        "connector": {"fillcolor": "--grid"},
        "hoverinfo": "skip",
    }
    return {"data": [trace], "layout": {"height": 280}}


def dispositions(report: Report) -> Chart:
    """Return bars of ended calls by disposition."""
    return _counts(report.dispositions)


def enrolments(report: Report) -> Chart:
    """Return bars of leads by enrollment status."""
    return _counts(report.enrolments)


def _counts(figures: Mapping[str, int]) -> Chart:
    """Return bars of the nonzero counts, the largest on top."""
    rows = sorted(((n, name) for name, n in figures.items() if n), reverse=True)
    labels = [name.replace("_", " ") for _, name in rows]
    return _bars(labels, [n for n, _ in rows], "%{x:,}", "%{y}: %{x:,}<extra></extra>", [])


def days(report: Report) -> Chart:
    """Return attempts, human answers and conversions by day in the report's time zone."""
    return _layered(
        [day.day.isoformat() for day in report.days],
        [day.sums for day in report.days],
        {"type": "date"},
    )


def day_hours(report: Report) -> Chart:
    """Return attempts, human answers and conversions by hour of the called party's day."""
    sums = [
        sum((cell.sums for cell in report.hours if cell.hour == hour), Sums()) for hour in range(24)
    ]
    return _layered([f"{hour:02}" for hour in range(24)], sums, {"type": "category"})


def week(report: Report) -> Chart:
    """Return a heatmap of attempts by the called party's weekday and hour."""
    return _heatmap(report.hours, lambda sums: sums.attempts, "%{z:,} attempts")


def best_times(report: Report) -> Chart:
    """Return a heatmap of the live-answer rate by the called party's weekday and hour."""
    return _heatmap(
        report.hours, lambda sums: sums.answered_by_human / sums.attempts, "%{z:.1%} answered live"
    )


def conversion(groups: Sequence[Group]) -> Chart:
    """Return bars of conversions per lead, by group of a column's values."""
    return _bars(
        [group.label for group in groups],
        [group.conversions / group.leads if group.leads else None for group in groups],
        "%{x:.1%}",
        "%{y}: %{x:.2%}<br>%{customdata[0]:,} leads, %{customdata[1]:,} attempts"
        "<br>%{customdata[2]:,} conversions<extra></extra>",
        [[group.leads, group.attempts, group.conversions] for group in groups],
        tickformat=".0%",
    )


def _bars(
    labels: Sequence[str],
    values: Sequence[float | None],
    text: str,
    hover: str,
    customdata: Sequence[object],
    **axis: object,
) -> Chart:
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [_label(label) for label in labels],
        "x": values,
        "texttemplate": text,
        "textposition": "auto",
        "hovertemplate": hover,
        "customdata": customdata,
        "marker": {"color": "--layer-2"},
    }
    layout = {
        "height": 56 + ROW_HEIGHT * len(labels),
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
        "xaxis": {"rangemode": "tozero", **axis},
    }
    return {"data": [trace], "layout": layout}


def _layered(x: Sequence[str], sums: Sequence[Sums], axis: Mapping[str, object]) -> Chart:
    data = [
        {
            "type": "bar",
            "name": name,
            "x": x,
            "y": [getattr(column_sums, field) for column_sums in sums],
            "marker": {"color": color},
            "hovertemplate": "%{y:,}",
        }
        for name, field, color in LAYERS
    ]
    layout = {
        "height": 300,
        "barmode": "overlay",
        "hovermode": "x unified",
        "xaxis": {**axis, "showgrid": False},
        "yaxis": {"rangemode": "tozero", "automargin": True},
        "legend": {"orientation": "h", "x": 0, "y": 1.16},
    }
    return {"data": data, "layout": layout}


def _heatmap(hours: Sequence[Hour], value: Callable[[Sums], float], hover: str) -> Chart:
    cells: list[list[float | None]] = [[None] * 24 for _ in WEEKDAYS]
    for hour in hours:
        if hour.sums.attempts:
            cells[hour.weekday][hour.hour] = value(hour.sums)
    trace = {
        "type": "heatmap",
        "x": [f"{number:02}" for number in range(24)],
        "y": WEEKDAYS,
        "z": cells,
        "zmin": 0,
        "xgap": 2,
        "ygap": 2,
        "colorscale": [[0, "--heat-0"], [0.5, "--heat-1"], [1, "--heat-2"]],
        "showscale": False,
        "hovertemplate": "%{y} %{x}:00<br>" + hover + "<extra></extra>",
    }
    layout = {
        "height": 290,
        "xaxis": {"type": "category", "showgrid": False},
        "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
    }
    return {"data": [trace], "layout": layout}


def _label(text: str) -> str:
    # plotly.js renders labels as simple HTML, and these come from a customer's file.
    short = text if len(text) <= MAX_LABEL_LENGTH else text[: MAX_LABEL_LENGTH - 1] + "…"
    return escape(short) or "(none)"
