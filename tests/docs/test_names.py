"""Modules, names and files that the documentation mentions exist."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, inline_code, name_of

DOTTED = re.compile(r"jobs(\.\w+)+")
FILE = re.compile(r"(jobs|tests|docs|settings|benchmarks)/[\w./-]+")


def exists(dotted: str) -> bool:
    """Tell whether a dotted name is a module, or a name in one."""
    try:
        import_module(dotted)
    except ModuleNotFoundError:
        module, _, name = dotted.rpartition(".")
        return exists(module) and hasattr(import_module(module), name)
    return True


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_names_exist(path: Path) -> None:
    names = {code.partition("(")[0] for code in inline_code(path)}
    assert not {name for name in names if DOTTED.fullmatch(name) and not exists(name)}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_files_exist(path: Path) -> None:
    files = {code for code in inline_code(path) if FILE.fullmatch(code)}
    assert not {file for file in files if not (ROOT / file).exists()}


def test_what_does_not_exist_is_noticed() -> None:
    assert exists("jobs.engine.queue.outcome.Outcome")
    assert not exists("jobs.engine.nothing")
