"""CSV files as people send them: records with their line numbers, whatever the file holds.

Plain or gzipped, UTF-8 with or without a byte order mark. A record that cannot be read is handed
on with its problem, and reading goes on at the next line.
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
LONGEST_LINE: Final = 1 << 20
"""Characters; what is longer is read as several lines, so that memory stays flat."""
NOT_TEXT: Final = frozenset(map(chr, [*range(9), 11, *range(14, 32), 127]))
"""Control characters that no text has."""


class Record(NamedTuple):
    """One row of cells. line: of its beginning, from 1. problem: why it cannot be used."""

    line: int
    cells: list[str]
    problem: str | None = None


@contextmanager
def open_csv(
    path: Path, delimiter: str | None, known: Callable[[str], bool]
) -> Iterator[tuple[list[str], Iterator[Record]]]:
    """The header, and the records after it (blank ones left out).

    delimiter: None takes the one of `,` `;` tab `|` that makes the most columns, those that are
    `known` counting first. Undecodable bytes come as surrogate escapes. Raises ValidationError
    for a file that is no CSV file, naming it and the remedy.
    """
    with _open_text(path) as text:
        lines = _Lines(path, text)
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise ValidationError(f"{path}: the file is empty: name a file with a header line")
        lines.put_back([first])
        records = _records(lines, delimiter or _sniff(first, known))
        header = [cell.strip() for cell in next(records).cells]
        if not all(is_utf8(line) and NOT_TEXT.isdisjoint(line) for line in lines.taken):
            raise ValidationError(
                f"{path}: not a UTF-8 text file: save the table as CSV in UTF-8 and name that"
            )
        yield header, _checked(records, lines, len(header))


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
    """Whether the text was decoded without a surrogate escape."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sniff(header: str, known: Callable[[str], bool]) -> str:
    def columns(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=delimiter), [])
        return sum(map(known, cells)), len(cells)

    return max(DELIMITERS, key=columns)


class _Lines:
    """A file's lines, counted; lines that were taken can be put back."""

    def __init__(self, path: Path, text: io.TextIOWrapper) -> None:
        self._path = path
        self._text = text
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        return line

    def _read(self) -> str:
        try:
            return self._text.readline(LONGEST_LINE)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise ValidationError(
                f"{self._path}: the compressed data is damaged after line {self.number}: copy the "
                "file again (importing it again adds nothing twice)"
            ) from None
        except OSError as error:
            raise ValidationError(f"{self._path}: cannot be read: {error.strerror}") from None

    def put_back(self, lines: Sequence[str]) -> None:
        self._back.extendleft(reversed(lines))
        self.number -= len(lines)


def _records(lines: _Lines, delimiter: str) -> Iterator[Record]:
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        line = lines.number + 1
        lines.taken.clear()
        try:
            yield Record(line, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, [], str(error))


def _checked(records: Iterator[Record], lines: _Lines, width: int) -> Iterator[Record]:
    for record in records:
        if record.problem is None and len(record.cells) == width:
            if any(map(str.strip, record.cells)):
                yield record
            continue
        if not any(map(str.strip, lines.taken)):
            continue
        problem = record.problem or f"{len(record.cells)} cells instead of {width}"
        if len(lines.taken) > 1:
            # An opening quote without its end swallows the rows after it: only the row in which
            # it stands is broken, so the others are read once more.
            problem += "; is a quote left open?"
            lines.put_back(lines.taken[1:])
        yield Record(record.line, record.cells, problem)
