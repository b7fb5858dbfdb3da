"""Recorded campaigns from files: leads, plan, sums, and bad files."""

import csv
import gzip
from pathlib import Path

import pytest

from jobs.demo.dataset import Sums, read_campaign
from jobs.errors import RinglineError
from jobs.voice import Recorded

SLICE = Path(__file__).parents[2] / "data" / "recorded.csv"


def test_campaign_is_split_into_leads_and_plan(tmp_path: Path) -> None:
    leads = tmp_path / "leads.csv"
    campaign = read_campaign(SLICE, leads)
    with leads.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(campaign.plan.recorded) == 60
    assert not {"duration", "campaign", "y"} & rows[0].keys()
    assert {row["phone"] for row in rows} == campaign.plan.recorded.keys()
    assert campaign.plan.recorded[rows[40]["phone"]].attempts == 9
    assert campaign.sums.total == Sums(leads=60, attempts=117, conversions=15, seconds=25_612)


def test_sums_of_each_column_add_up_to_the_total(tmp_path: Path) -> None:
    sums = read_campaign(SLICE, tmp_path / "leads.csv").sums
    for values in sums.by_column.values():
        assert sum(item.leads for item in values.values()) == sums.total.leads
        assert sum(item.attempts for item in values.values()) == sums.total.attempts
        assert sum(item.conversions for item in values.values()) == sums.total.conversions
        assert sum(item.seconds for item in values.values()) == sums.total.seconds


def test_gzipped_file_with_commas_is_read(tmp_path: Path) -> None:
    text = "month,campaign,duration,y\nmay,3,17,yes\n"
    path = tmp_path / "recorded.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    campaign = read_campaign(path, tmp_path / "leads.csv")
    assert list(campaign.plan.recorded.values()) == [Recorded(3, 17, "converted")]
    assert campaign.sums.by_column["month"]["may"].attempts == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("age;job;y\n30;pilot;yes\n", "no column campaign, duration"),
        ("job;campaign;duration;y\n", "no rows below the header"),
        (
            "job;campaign;duration;y\npilot;0;5;yes\n",
            "line 2: campaign is '0', not a whole number >= 1",
        ),
        ("job;campaign;duration;y\npilot;1;5;yes\npilot;1;x;no\n", "line 3: duration is 'x'"),
        ("job;campaign;duration;y\npilot;1;5;maybe\n", "line 2: y is 'maybe', not yes or no"),
        ("job;campaign;duration;y\npilot;1;5\n", "line 2: 3 cells instead of 4"),
        ("", "the file is empty"),
        ("\0\1\2\3;binary", "not a UTF-8 text file"),
        (None, "no such file"),
    ],
)
def test_bad_file_is_reported_in_one_line(tmp_path: Path, text: str | None, line: str) -> None:
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RinglineError) as caught:
        read_campaign(path, tmp_path / "leads.csv")
    assert str(caught.value).startswith(str(path))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
