"""Report files are complete, readable, and safe for any values of the leads."""

import csv
import json
import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from plotly.graph_objects import Figure

from jobs.analytics import render
from jobs.analytics.model import Day, Hour, Report, Sums, Totals, Value
from jobs.analytics.render import as_html, as_json, write_report
from jobs.errors import UsageError
from jobs.rules.metrics import Sums as MetricSums
from jobs.rules.metrics import derive

MOMENT = datetime(2026, 3, 2, 17, tzinfo=UTC)
NASTY = "</script><script>alert(1)</script>"


def figures(attempts: int, conversions: int = 0) -> Sums:
    return Sums(
        attempts=attempts,
        answered=attempts // 2,
        answered_by_human=attempts // 4,
        conversions=conversions,
        seconds=attempts * 60,
        price=Decimal(attempts) / 10,
    )


def row(value: str, leads: int) -> Value:
    return Value(value=value, leads=leads, attempts=2 * leads, conversions=1, seconds=leads * 120)


def make_report(**changes: Any) -> Report:
    ratios = derive(MetricSums(attempts=200, answered=100, leads=100, seconds=6000))
    fields: dict[str, Any] = {
        "campaign_id": UUID(int=1),
        "campaign": "Spring",
        "status": "completed",
        "zone": "UTC",
        "made_at": MOMENT,
        "started_at": MOMENT,
        "ended_at": MOMENT,
        "totals": Totals(
            leads=100, leads_tried=100, leads_reached=50, ended=200, sums=figures(200, 2)
        ),
        "metrics": {name: getattr(ratios, name) for name in ratios.__slots__},
        "enrolments": {"done": 60, "exhausted": 40},
        "calls": {"completed": 200},
        "dispositions": {"answered": 120, "no_answer": 80},
        "days": (Day(day=date(2026, 3, 2), sums=figures(200, 2)),),
        "hours": (Hour(weekday=0, hour=9, sums=figures(200, 2)),),
        "attempts_without_zone": 0,
        "breakdowns": {"job": (row("clerk", 40), row("nurse", 60))},
    }
    return Report(**{**fields, **changes})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def charts_of(page: str) -> dict[str, Any]:
    match = re.search(
        r'<script type="application/json" id="charts">(.*?)</script>', page, re.DOTALL
    )
    assert match is not None
    charts: dict[str, Any] = json.loads(match[1])
    return charts


def without_library(page: str) -> str:
    return page.replace(render._plotly_js(), "")


def test_report_files_have_all_figures(tmp_path: Path) -> None:
    report = make_report()
    files = write_report(report, tmp_path / "new" / "folder")
    assert Report.model_validate_json(files.json.read_text()) == report
    assert {row["metric"]: row["value"] for row in table(files.metrics)}["asr"] == "0.5"
    assert table(files.breakdowns) == [
        {"column": "job", "value": "clerk", "leads": "40", "attempts": "80", "conversions": "1",
         "seconds": "4800"},
        {"column": "job", "value": "nurse", "leads": "60", "attempts": "120", "conversions": "1",
         "seconds": "7200"},
    ]  # fmt: skip
    assert [row["attempts"] for row in table(files.days)] == ["200"]
    assert [(row["weekday"], row["hour"]) for row in table(files.hours)] == [("Mon", "9")]
    assert "<!doctype html>" in files.html.read_text()


def test_json_ends_with_a_newline_and_keeps_nulls() -> None:
    text = as_json(make_report())
    assert text.endswith("}\n")
    assert json.loads(text)["metrics"]["cost_per_conversion"] is None


def test_page_is_self_contained() -> None:
    page = without_library(as_html(make_report()))
    assert not re.search(r"(src|href)\s*=|@import|url\(|https?://", page)
    assert render._plotly_js() in as_html(make_report())


def test_page_has_data_for_each_chart() -> None:
    page = as_html(make_report())
    named = set(re.findall(r'data-chart="([^"]+)"', without_library(page)))
    charts = charts_of(page)
    assert named == set(charts)
    assert "column:job" in named
    assert all(chart["layout"]["height"] and chart["data"] for chart in charts.values())


def test_page_defines_every_color_of_its_charts() -> None:
    page = without_library(as_html(make_report()))
    used = set(re.findall(r'"(--[\w-]+)"', page))
    defined = set(re.findall(r"(--[\w-]+):", page))
    assert used
    assert used <= defined


def test_lead_values_are_escaped() -> None:
    report = make_report(
        campaign=NASTY, breakdowns={NASTY: (row(NASTY, 50), row("<b>bold</b>", 50))}
    )
    page = as_html(report)
    assert "<script>alert" not in page
    assert "<b>" not in without_library(page)
    charts = charts_of(page)
    assert charts[f"column:{NASTY}"]["data"][0]["y"][0].startswith("&lt;")


def test_personal_data_is_masked() -> None:
    report = make_report(
        campaign="for ann@example.org",
        breakdowns={"contact": (row("+12125550101", 50), row("bob@example.org", 50))},
    )
    page = without_library(as_html(report))
    assert "+12125550101" not in page
    assert "@example.org" not in page


def test_page_lists_violated_invariants() -> None:
    assert "disagree" not in without_library(as_html(make_report()))
    page = as_html(make_report(enrolments={"done": 60}))
    assert "Some figures disagree" in page
    assert "leads: 100 in the list, but 60 by enrollment status" in page


def test_campaign_without_calls_has_a_page() -> None:
    page = as_html(
        make_report(
            days=(),
            hours=(),
            breakdowns={},
            dispositions={},
            metrics=dict.fromkeys(make_report().metrics),
        )
    )
    assert "no calls yet" in page
    assert set(charts_of(page)) == {"funnel", "enrolments"}
    assert "\N{EN DASH}" in page


def test_column_with_one_value_has_no_chart() -> None:
    report = make_report(
        breakdowns={"source": (row("fair", 100),), "job": (row("a", 1), row("b", 2))}
    )
    assert "column:source" not in charts_of(as_html(report))


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "\N{EN DASH}"), (0, "0:00"), (65.4, "1:05"), (3661, "1:01:01")]
)
def test_duration_is_formatted_as_clock_time(seconds: float | None, text: str) -> None:
    assert render.duration(seconds) == text


@pytest.mark.parametrize("module", ["jinja2", "plotly.offline"])
def test_missing_library_is_reported_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    render._template.cache_clear()
    render._plotly_js.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'ringline\[report\]'"):
        as_html(make_report())
    with pytest.raises(UsageError, match="pip install"):
        write_report(make_report(), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_charts_are_valid_for_plotly() -> None:
    for name, chart in charts_of(as_html(make_report())).items():
        plain = json.loads(re.sub(r'"--[\w-]+"', '"#123456"', json.dumps(chart)))
        assert Figure(plain["data"], plain["layout"]).to_dict()["data"], name
