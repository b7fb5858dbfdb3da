"""CSV reader: yields each row once, or rejects the file by name."""

import csv
import gzip
import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ValidationError
from jobs.lead.csvfile import Record, open_csv

WORDS = ("name", "phone")


def read(path: Path, delimiter: str | None = None) -> tuple[list[str], list[Record]]:
    with open_csv(path, delimiter, WORDS.__contains__) as (header, records):
        return header, list(records)


def read_bytes(folder: Path, data: bytes) -> tuple[list[str], list[Record]]:
    path = folder / "leads.csv"
    path.write_bytes(data)
    return read(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_detected(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(["name", "phone"]) + "\n" + delimiter.join(["Ann, a; b", "1"]) + "\n"
    text = text.replace("Ann, a; b", '"Ann, a; b"')
    header, records = read_bytes(tmp_path, text.encode())
    assert header == ["name", "phone"]
    assert [record.cells for record in records] == [["Ann, a; b", "1"]]


def test_known_headings_outrank_the_count_of_columns(tmp_path: Path) -> None:
    header, _ = read_bytes(tmp_path, b"name;phone;a,b,c,d,e,f\n")
    assert header == ["name", "phone", "a,b,c,d,e,f"]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress])
def test_byte_order_mark_and_compression_make_no_difference(
    tmp_path: Path, bom: bytes, compress: object
) -> None:
    data = bom + "name,phone\nÄnne,1\n".encode()
    header, records = read_bytes(tmp_path, compress(data))  # type: ignore[operator]  # a function
    assert header == ["name", "phone"]
    assert records == [Record(2, ["Änne", "1"])]


def test_line_numbers_include_blank_lines_and_quoted_line_ends(tmp_path: Path) -> None:
    data = b'\nname,phone\n\nAnn,1\n"Bo\nb",2\n,\n \nCid,3\n'
    _, records = read_bytes(tmp_path, data)
    assert [(record.line, record.cells[1], record.problem) for record in records] == [
        (4, "1", None),
        (5, "2", None),
        (9, "3", None),
    ]


def test_row_with_too_few_or_too_many_cells_has_a_problem(tmp_path: Path) -> None:
    _, records = read_bytes(tmp_path, b"name,phone\nAnn\nBob,2,3\nCid,4\n")
    assert [record.problem for record in records] == [
        "1 cells instead of 2",
        "3 cells instead of 2",
        None,
    ]


def test_unclosed_quote_breaks_only_its_own_row(tmp_path: Path) -> None:
    rows = "".join(f"Name {i},{i}\n" for i in range(20_000))
    _, records = read_bytes(tmp_path, f'name,phone\n"Ann,0\n{rows}'.encode())
    assert [record.line for record in records] == list(range(2, 20_003))
    assert [record.line for record in records if record.problem] == [2]
    assert "quote" in str(records[0].problem)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n \n\n", "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "not a UTF-8 text file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a UTF-8 text file"),
        ("name,phone\n".encode("utf-16"), "not a UTF-8 text file"),
        (gzip.compress(b"name,phone\nAnn,1\n" * 1000, mtime=0)[:60], "damaged"),
        (b"\x1f\x8bnot gzip at all", "damaged"),
    ],
)
def test_file_that_is_not_csv_is_rejected_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        read_bytes(tmp_path, data)
    assert str(caught.value).startswith(str(tmp_path / "leads.csv"))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"nothing\.csv: no such file"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(ValidationError, match="cannot be read"):
        read(tmp_path)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    with suppress(ValidationError):
        read_bytes(tmp_path_factory.mktemp("any"), b"name,phone\n" + data)


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_output_of_the_csv_module_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["name", "phone"], *rows])
    _, records = read_bytes(tmp_path_factory.mktemp("rows"), text.getvalue().encode())
    assert [record.cells for record in records] == [row for row in rows if any(map(str.strip, row))]
