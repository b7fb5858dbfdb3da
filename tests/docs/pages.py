"""The pages of the documentation, and their parts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "benchmarks/RESULTS.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

_FENCED: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`([^`\n]+)`")
_HEADING: Final = re.compile(r"^#+ +(.*)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        language: The word after the fence; may be empty.
        heading: The nearest heading above the block.
        code: The content, without the indentation of the fence.
    """

    language: str
    heading: str
    code: str


def name_of(path: Path) -> str:
    """Return the path relative to the repository, for the ids of tests."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[Block]:
    """Return the fenced blocks of one language, in order."""
    text = path.read_text("utf-8")
    return [block for block in _blocks(text) if block.language == language]


def _blocks(text: str) -> Iterator[Block]:
    for match in _FENCED.finditer(text):
        indent, language, code = match.groups()
        headings = _HEADING.findall(_without_blocks(text[: match.start()]))
        lines = [line.removeprefix(indent) for line in code.splitlines()]
        yield Block(language, headings[-1] if headings else "", "\n".join(lines) + "\n")


def text_of(path: Path) -> str:
    """Return the page without its fenced blocks."""
    return _without_blocks(path.read_text("utf-8"))


def prose(text: str) -> str:
    """Return the text without inline code."""
    return _CODE.sub("", text)


def inline_code(path: Path) -> list[str]:
    """Return the inline code spans of a page."""
    return _CODE.findall(text_of(path))


def headings(path: Path) -> list[str]:
    """Return the headings of a page."""
    return _HEADING.findall(text_of(path))


def tables(path: Path, first_column: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables whose first column has this title."""
    found = False
    for line in text_of(path).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            found = False
        elif cells[0] == first_column:
            found = True
        elif found and not cells[0].startswith("--"):
            yield cells


def _without_blocks(text: str) -> str:
    return _FENCED.sub("", text)
