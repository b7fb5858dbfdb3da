"""Synthetic leads: fictional, repeatable, with duplicate and broken rows."""

import csv
from pathlib import Path

import phonenumbers
import pytest

from jobs.demo.people import write_leads
from jobs.errors import UsageError


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_leads(tmp_path / name, 100, seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again != other


def test_numbers_are_fictional_and_addresses_are_reserved(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv"
    written = write_leads(path, 300, 1)
    found = rows(path)
    assert len(found) == written.rows == 312
    usable = set()
    for row in found:
        assert row["email"] == "" or row["email"].endswith(("@example.com", "not an address"))
        try:
            number = phonenumbers.parse(row["phone"], "US")
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number) and row["email"] != "not an address":
            usable.add(number.national_number)
            assert str(number.national_number)[3:8] == "55501"
    assert len(usable) == written.usable == 300


def test_more_leads_than_fictional_numbers_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="100,000 leads are too many"):
        write_leads(tmp_path / "leads.csv", 100_000, 1)
