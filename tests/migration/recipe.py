"""The diffs of docs/migrating-from-arq.md, applied to a project as its author would."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT, Block, blocks

PAGE: Final = ROOT / "docs/migrating-from-arq.md"

_ASSIGNMENT: Final = re.compile(r" +\w+ = ")


@dataclass(frozen=True)
class Change:
    """A block of neighboring lines in a diff.

    Attributes:
        before: The unchanged line above, "" at the top.
        removed: Lines to remove.
        added: Lines to add in their place.
    """

    before: str
    removed: tuple[str, ...]
    added: tuple[str, ...]

    def apply(self, text: str) -> str | None:
        """Return the changed text; None if the text has no such place.

        An import goes above the other imports. Other lines that replace none go below the line
        `before`; of an assignment, the left side has to match.
        """
        added = "".join(f"{line}\n" for line in self.added)
        if self.removed:
            removed = "".join(f"{line}\n" for line in self.removed)
            return text.replace(removed, added) if removed in text else None
        if self.is_import:
            place = re.search(r"^(?=import |from )", text, re.MULTILINE)
        else:
            name = _ASSIGNMENT.match(self.before)
            line = rf"{re.escape(name[0])}.*\n" if name else f"{re.escape(self.before)}\n"
            place = re.search(rf"^{line}", text, re.MULTILINE)
        return text[: place.end()] + added + text[place.end() :] if place else None

    @property
    def is_import(self) -> bool:
        return bool(self.added) and all(re.match(r"import |from |$", line) for line in self.added)


def changes(diff: str) -> list[Change]:
    """Return the changes of a diff, in order."""
    found, before = [], ""
    lines = [*diff.splitlines(), " "]
    removed: list[str] = []
    added: list[str] = []
    for line in lines:
        if line.startswith("-"):
            removed.append(line[1:])
        elif line.startswith("+"):
            added.append(line[1:])
        else:
            if removed or added:
                found.append(Change(before, tuple(removed), tuple(added)))
                removed, added = [], []
            before = line[1:]
    return found


def diffs(heading: str) -> list[str]:
    """Return the diffs below a heading, such as `1. Replace the workers`."""
    found = [block.code for block in blocks(PAGE, "diff") if block.heading == heading]
    assert found, f"no diff below {heading!r}"
    return found


def apply(diff: str, folder: Path) -> list[str]:
    """Apply a diff to the Python files of a folder.

    Returns:
        The names of the changed files. A file changes only if all changes of the diff fit.
    """
    changed = []
    for path in sorted(folder.rglob("*.py")):
        text: str | None = path.read_text("utf-8")
        for change in changes(diff):
            text = change.apply(text) if text is not None else None
        if text is not None:
            path.write_text(text, "utf-8")
            changed.append(path.name)
    return changed


def annotate(diff: str, path: Path) -> None:
    """Apply the diff that decorates a function to each job of a file."""
    text = path.read_text("utf-8")
    imports, decorator = changes(diff)
    with_imports = imports.apply(text)
    assert with_imports is not None
    jobs = re.search(r"functions = \[(.*)\]", text)
    assert jobs is not None
    for name in jobs[1].split(", "):
        lines = "".join(f"{line}\n" for line in decorator.added).replace("send_invoice", name)
        with_imports = with_imports.replace(f"async def {name}(", f"{lines}async def {name}(")
    path.write_text(with_imports, "utf-8")


def commands(heading: str, path: str) -> list[str]:
    """Return the commands below a heading, for the settings class at `path`."""
    code = "".join(block.code for block in blocks(PAGE, "console") if block.heading == heading)
    return code.replace("mymodule.WorkerSettings", path).splitlines()


def script(heading: str) -> Block:
    """Return the Python example below a heading."""
    (found,) = [block for block in blocks(PAGE, "python") if block.heading == heading]
    return found
