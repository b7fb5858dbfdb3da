"""Tables of calling hours: the committed data, and the errors that validation finds."""

import hashlib
from datetime import date, timedelta
from importlib.resources import files

import pytest

from jobs.errors import ValidationError
from jobs.rules.hours import VERSION, Cap, Checked, Holidays, Voice
from jobs.rules.hours.closed_days import check_holidays
from jobs.rules.hours.exceptions import FIXED_CLOCKS
from jobs.rules.hours.tables import Table, load_tables, read_table

DATA = files("jobs.rules.hours").joinpath("data")
HOURS_HEADER, AUTOMATED_HEADER = (
    DATA.joinpath(name).read_text("utf-8").splitlines()[0]
    for name in ("hours.csv", "automated.csv")
)
ROWS = [rule for rules in load_tables().hours.values() for rule in rules]
AUTOMATED_ROWS = [rule for rules in load_tables().automated.values() for rule in rules]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("hours.csv", "f2ccd5cb7e06c70004e8c00b6a016d22a37ad209253680bfad34acb98c08848d"),
        ("automated.csv", "d0adc975217e9d5834b5ad7cabcfad4497ecdf084d1d7e7d1e7d82a66e937833"),
    ],
)
def test_changed_data_needs_a_new_version(name: str, digest: str) -> None:
    assert hashlib.sha256(DATA.joinpath(name).read_bytes()).hexdigest() == digest
    assert VERSION == "2026-11-30"
    assert f"Version: {VERSION}\n" in DATA.joinpath("ORIGIN.md").read_text("utf-8")


def test_each_row_is_read() -> None:
    for name, rows in (("hours.csv", ROWS), ("automated.csv", AUTOMATED_ROWS)):
        lines = DATA.joinpath(name).read_text("utf-8").splitlines()[1:]
        assert sorted(rule.region for rule in rows) == sorted(line.split(",")[0] for line in lines)
        assert all(rule.citation and rule.checked for rule in rows)


def test_row_with_every_column() -> None:
    (france,) = load_tables().hours["FR"]
    assert france.effective == date(2023, 3, 1)
    assert [str(span) for span in france.week.monday] == ["10:00-13:00", "14:00-20:00"]
    assert not france.week.saturday
    assert not france.week.sunday
    assert france.holidays == {Holidays.NATIONAL}
    assert france.cap == Cap(4, timedelta(days=30))
    assert france.checked is Checked.PRIMARY
    assert france.consent is not None
    assert france.consent.voice is None
    assert france.consent.since == date(2026, 8, 11)
    assert not france.consent.binds(Voice.HUMAN, date(2026, 8, 10))
    assert france.consent.binds(Voice.HUMAN, date(2026, 8, 11))


def test_automated_row_without_hours_is_closed() -> None:
    for region in ("US-MA", "US-WY"):
        (rule,) = load_tables().automated[region]
        assert not any(rule.week.days)


def test_fixed_clocks_are_stated_in_the_table() -> None:
    assert set(FIXED_CLOCKS) == {"US-MS"}
    (mississippi,) = load_tables().hours["US-MS"]
    assert "Central Standard Time" in mississippi.scope
    assert mississippi.clock == "Etc/GMT+6"
    assert {rule.clock for rule in ROWS} == {None, "Etc/GMT+6"}


def test_holidays_of_each_row_are_known() -> None:
    for rule in ROWS:
        check_holidays(rule.region, rule.holidays)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (Cap(3, timedelta(hours=24)), "3 per 24 h"),
        (Cap(4, timedelta(days=30)), "4 per 30 days"),
        (Cap(1, timedelta(hours=8)), "1 per 8 h"),
    ],
)
def test_cap_in_words(text: Cap, expected: str) -> None:
    assert str(text) == expected


def hours_row(**cells: str) -> str:
    row = dict.fromkeys(HOURS_HEADER.split(","), "") | {
        "region": "FR",
        "weekdays": "09:00-20:00",
        "citation": "law",
        "checked": "primary",
    }
    return ",".join((row | cells).values())


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([hours_row(region="fr")], "line 2: 'fr' is not a region"),
        ([hours_row(region="US-TEXAS")], "not a region"),
        ([hours_row(effective="2026-13-01")], "line 2"),
        ([hours_row(weekdays="9-20")], "'9-20' is not a time span"),
        ([hours_row(weekdays="09:00-25:00")], "by 24:00"),
        ([hours_row(saturday="14:00-20:00 10:00-13:00")], "line 2"),
        ([hours_row(holidays="lunar")], "lunar"),
        ([hours_row(cap="often")], "'often' is not a cap"),
        ([hours_row(cap="0 per 24 h")], "not a cap"),
        ([hours_row(consent_for="robot")], "robot"),
        ([hours_row(consent="written")], "consent needs the voice"),
        ([hours_row(citation="")], "the citation is missing"),
        ([hours_row(checked="")], "line 2"),
        ([hours_row(), hours_row()], "line 3: FR has two rows for one date"),
        ([hours_row() + ",more"], "a cell for each column"),
        (["FR,2020-01-01"], "a cell for each column"),
        ([hours_row(region="GB-SCT")], "GB-SCT needs a row of its country"),
    ],
)
def test_malformed_table_is_rejected(rows: list[str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        read_table(Table.HOURS, "\n".join([HOURS_HEADER, *rows]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", [Table.HOURS, Table.AUTOMATED])
def test_columns_must_be_known(table: Table) -> None:
    other = AUTOMATED_HEADER if table is Table.HOURS else HOURS_HEADER
    for text in (other, ""):
        with pytest.raises(ValidationError, match="columns must be region,effective"):
            read_table(table, text)


def test_rule_of_a_later_date_comes_first() -> None:
    rows = [hours_row(effective="2020-01-01"), hours_row(effective="2025-01-01"), hours_row()]
    rules = read_table(Table.HOURS, "\n".join([HOURS_HEADER, *rows]))["FR"]
    assert [rule.effective.year for rule in rules] == [2025, 2020, 1]
