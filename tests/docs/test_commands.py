"""Commands in the documentation exist, with the options and arguments that are shown."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from jobs.cli import main
from tests.docs.pages import PAGES, ROOT, blocks, inline_code, name_of

PLACEHOLDER = "…"
RINGLINE = re.compile(r"(?:[A-Z_]+=\S+ +)*ringline(?: (.*))?")
MAKE = re.compile(r"make (\w+)")


def lines(path: Path) -> Iterator[str]:
    """Yield the command lines of a page, without comments and the `&` of the background."""
    for block in blocks(path, "console"):
        for line in block.code.splitlines():
            for command in re.split(r"; ", line.partition(" #")[0].removesuffix("&").strip()):
                yield command.removesuffix(" &")
    yield from (code for code in inline_code(path) if PLACEHOLDER not in code)


def complaint(words: list[str]) -> str | None:
    """Return the error of the command line, as click reports it; None for a valid one."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        while words and words[0].startswith("-"):
            if not any(words[0] in option.opts for option in command.params):
                return f"no such option: {words[0]}"
            words = words[1:]
        if not words:
            return None
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            return f"no such command: {name}"
        command, context = found, click.Context(found, parent=context)
    try:
        _, left, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    return f"too many arguments: {left}" if left else None


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_ringline_commands_are_known(path: Path) -> None:
    wrong = {}
    for line in lines(path):
        match = RINGLINE.fullmatch(line)
        if match and (found := complaint(shlex.split(match[1] or ""))):
            wrong[line] = found
    assert not wrong


@pytest.mark.parametrize(
    "line", ["nothing", "lead export x", "up --fast", "up now", "failed list --nothing x"]
)
def test_a_wrong_command_is_noticed(line: str) -> None:
    assert complaint(line.split())


@pytest.mark.parametrize("line", ["--version", "campaign", "worker all 2", "failed retry --all"])
def test_a_right_command_is_not(line: str) -> None:
    assert complaint(line.split()) is None


def targets() -> set[str]:
    """Return the targets of the Makefile, as .PHONY lists them."""
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return set(phony.split())


def test_make_help_lists_every_target() -> None:
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(rules) == targets()
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],  # noqa: S607 - the one that users call
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {line.split()[1] for line in shown.splitlines()} == targets()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_make_targets_exist(path: Path) -> None:
    shown = {match[1] for line in lines(path) if (match := MAKE.match(line))}
    assert shown <= targets()
