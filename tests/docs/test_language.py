"""Documentation, docstrings and comments use the terms of docs/glossary.md and American spelling.

Only phrases that are never right are listed; the rest is for the reader of a change.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, prose, text_of

PHRASES: Final = {
    r"f[ae]lls? silent|falling silent": "worker lost, unresponsive",
    r"signs? of life": "heartbeat",
    r"puts? back|putting back": "requeue",
    r"hand(?:ed|s|ing)? over|hand over": "hand-off, pass",
    r"laps(?:e|es|ed|ing)": "lease expires",
    r"once in (?:an?|ten|five|\d+)": "at most once every",
    r"of (?:its|their|his) own": "its own, one per worker",
    r"stock (?:arq |arq's )?(?:workers?|producers?|pools?|jobs?)": "unmodified arq worker",
    r"bur(?:y|ies|ied)": "discard",
    r"reviv(?:e|es|ed|ing)": "retry",
    r"reap(?:s|ed|ers?|ing)?": "reclaim",
    r"dut(?:y|ies)": "background task",
    r"claim(?:s|ed|ing)? ahead": "prefetch",
    r"the books": "invariants",
}
_STEMS: Final = (
    "normal|recogn|serial|organ|initial|summar|optim|minim|maxim|author|categor|custom|priorit|"
    "synchron|util|real|special|general|final|sanit|token|visual|emphas|central|local"
)
SPELLINGS: Final = {
    r"(?:un|re)?diall(?:ed|ing)": "dialed, dialing",
    r"cancell(?:ed|ing|er)(?!\()": "canceled, canceling",
    rf"\w*(?:{_STEMS})is(?:e[sdr]?|ing|ations?)": "-ize",
    r"enrol(?:s|ments?)?(?!:)": "enroll, enrollment",  # a field has the name of its column
    r"honour(?:s|ed|ing)?|behaviours?|colours?|favour(?:s|ed|ite)?|labell(?:ed|ing)": "American",
    r"licences?|centres?|modell(?:ed|ing)|travell(?:ed|ing)|signall(?:ed|ing)|whilst": "American",
}
OPENINGS: Final = ("What", "Which", "How", "Where", "Whether", "That", "Of")
RULES: Final = [
    (re.compile(rf"(?<![\w.-])(?:{pattern})(?![\w-])", re.IGNORECASE), instead)
    for pattern, instead in {**PHRASES, **SPELLINGS}.items()
]
CODE: Final = (*sorted((ROOT / "jobs").rglob("*.py")), *sorted((ROOT / "jobs").rglob("*.lua")))


class Text(NamedTuple):
    """A piece of prose in a file.

    Attributes:
        line: Where it begins, from 1.
        text: The prose.
        is_docstring: Whether the rule about the first word applies.
    """

    line: int
    text: str
    is_docstring: bool = False


def texts_of_page(path: Path) -> Iterator[Text]:
    for number, line in enumerate(prose(text_of(path)).splitlines(), start=1):
        yield Text(number, line)


def texts_of_code(path: Path) -> Iterator[Text]:
    source = path.read_text("utf-8")
    if path.suffix == ".lua":
        for number, line in enumerate(source.splitlines(), start=1):
            yield Text(number, line.partition("--")[2])
        return
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield Text(node.lineno, text, is_docstring=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string)


def violations(texts: Iterator[Text]) -> list[str]:
    """Return one line per violation: where, what, and the standard term."""
    found = []
    for line, text, is_docstring in texts:
        words = " ".join(prose(text).split())
        first = words.partition(" ")[0].rstrip(",:")
        if is_docstring and first in OPENINGS:
            found.append(f"{line}: the docstring begins with {first!r}")
        for pattern, instead in RULES:
            found += [f"{line}: {match[0]!r}, use: {instead}" for match in pattern.finditer(words)]
    return found


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_pages(path: Path) -> None:
    assert not violations(texts_of_page(path))


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_docstrings_and_comments(path: Path) -> None:
    assert not violations(texts_of_code(path))


@pytest.mark.parametrize(
    "text",
    [
        "The worker fell silent.",
        "jobs are put back",
        "its lease lapses",
        "alerts once in ten minutes",
        "a stock worker",
        "calls that are dialled",
        "the task is cancelled",
        "normalises, recognised, serialisation, organise",
        "two enrolments",
    ],
)
def test_a_violation_is_noticed(text: str) -> None:
    assert violations(iter([Text(1, text)]))


@pytest.mark.parametrize("first", OPENINGS)
def test_a_docstring_begins_with_a_verb_or_a_noun(first: str) -> None:
    assert violations(iter([Text(1, f"{first} it does.", is_docstring=True)]))
    assert not violations(iter([Text(1, f"{first} it does.")]))


@pytest.mark.parametrize(
    "text",
    [
        "`asyncio.CancelledError` and `task.cancelled()`, task.cancelling()",
        "Raises an error; otherwise it rises, as promised, without noise; realistic, an organism.",
        "the callback, the feedback and the duration",
        "the table `enrolments`",
    ],
)
def test_names_of_python_and_similar_words_are_not(text: str) -> None:
    assert not violations(iter([Text(1, text)]))
