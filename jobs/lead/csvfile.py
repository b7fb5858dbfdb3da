"""Tolerant CSV reader: yields every record with its line number.

Reads plain and gzipped files in UTF-8, with or without a byte order mark. A broken record is
yielded with its problem, and reading continues on the next line.
"""

import csv
import gzip
import io
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from jobs.errors import ValidationError

DELIMITERS: Final = ",;\t|"
GZIP_MAGIC: Final = b"\x1f\x8b"
MAX_LINE_LENGTH: Final = 1 << 20
"""Characters; a longer line is read as several lines, which bounds memory."""
NOT_TEXT: Final = frozenset(map(chr, [*range(9), 11, *range(14, 32), 127]))
"""Control characters that never occur in text."""


class Record(NamedTuple):
    """Record of a CSV file.

    Attributes:
        line: Number of its first line, from 1.
        cells: Texts of the cells.
        problem: Reason why the record is unusable; None for a good record.
    """

    line: int
    cells: list[str]
    problem: str | None = None


@contextmanager
def open_csv(
    path: Path, delimiter: str | None, is_known: Callable[[str], bool]
) -> Iterator[tuple[list[str], Iterator[Record]]]:
    """Open a CSV file for reading.

    Args:
        path: The file.
        delimiter: Delimiter of the cells; None picks `,` `;` tab or `|`, whichever gives the most
            known headings, then the most columns.
        is_known: Returns True for a known heading.

    Yields:
        The header and an iterator over the records after it, without blank ones. Bytes that are
        not UTF-8 are surrogate escapes.

    Raises:
        ValidationError: The file is missing, empty, damaged or not a CSV file. The message names
            the file and the remedy.
    """
    with _open_text(path) as text:
        lines = _Lines(path, text)
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise ValidationError(f"{path}: the file is empty: use a file with a header line")
        lines.push_back([first])
        records = _records(lines, delimiter or _sniff(first, is_known))
        header = [cell.strip() for cell in next(records).cells]
        if not all(is_utf8(line) and NOT_TEXT.isdisjoint(line) for line in lines.recent):
            raise ValidationError(f"{path}: not a UTF-8 text file: save the table as CSV in UTF-8")
        yield header, _check_records(records, lines, len(header))


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    try:
        raw = path.open("rb")
    except FileNotFoundError:
        raise ValidationError(f"{path}: no such file: check the path") from None
    except OSError as error:
        raise ValidationError(f"{path}: cannot be read: {error.strerror}") from None
    with raw:
        zipped = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        data = gzip.GzipFile(fileobj=raw) if zipped else raw
        yield io.TextIOWrapper(data, "utf-8-sig", errors="surrogateescape", newline="")


def is_utf8(text: str) -> bool:
    """Return True if the text contains no surrogate escape."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sniff(header: str, is_known: Callable[[str], bool]) -> str:
    def rank(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=delimiter), [])
        return sum(map(is_known, cells)), len(cells)

    return max(DELIMITERS, key=rank)


class _Lines:
    """Numbered lines of a file, with pushback; `recent` holds the lines of the current record."""

    def __init__(self, path: Path, text: io.TextIOWrapper) -> None:
        self._path = path
        self._text = text
        self._pushed_back: deque[str] = deque()
        self.recent: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.recent.append(line)
        return line

    def _read(self) -> str:
        try:
            return self._text.readline(MAX_LINE_LENGTH)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise ValidationError(
                f"{self._path}: the compressed data is damaged after line {self.number}: copy the "
                "file again (a second import adds no lead twice)"
            ) from None
        except OSError as error:
            raise ValidationError(f"{self._path}: cannot be read: {error.strerror}") from None

    def push_back(self, lines: Sequence[str]) -> None:
        self._pushed_back.extendleft(reversed(lines))
        self.number -= len(lines)


def _records(lines: _Lines, delimiter: str) -> Iterator[Record]:
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        line = lines.number + 1
        lines.recent.clear()
        try:
            yield Record(line, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, [], str(error))


def _check_records(records: Iterator[Record], lines: _Lines, width: int) -> Iterator[Record]:
    for record in records:
        if record.problem is None and len(record.cells) == width:
            if any(map(str.strip, record.cells)):
                yield record
            continue
        if not any(map(str.strip, lines.recent)):
            continue
        problem = record.problem or f"{len(record.cells)} cells instead of {width}"
        if len(lines.recent) > 1:
            # An unclosed quote swallows the rows after it. Only its own row is broken: read the
            # others again.
            problem += "; check for an unclosed quote"
            lines.push_back(lines.recent[1:])
        yield Record(record.line, record.cells, problem)
