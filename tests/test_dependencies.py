"""What the project stands on: pinned exactly, from no address, installed as pinned, and licensed so
that anybody may use it. What is known to be vulnerable is asked online; see `make audit`."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Final

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parent.parent
FILES: Final = ("requirements.txt", "requirements-dev.txt")
FREE: Final = re.compile(
    r"\b(MIT(-0)?|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense|MPL|Mozilla)\b"
)
"""Licences that ask for no more than their notice, and the MPL, which asks for the changes to its
own files only: none of them is changed here."""
COPYLEFT: Final = re.compile(r"\b[AL]?GPL|General Public License")

DEVELOPER_TOOLS: Final = {"codespell"}
"""Commands that developers run and nobody receives with Ringline: copyleft does not reach them."""


def pins(name: str) -> dict[str, Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    found = map(Requirement, lines)
    return {canonicalize_name(one.name): one for one in found}


def needed(one: Requirement) -> bool:
    return one.marker is None or Marker(str(one.marker)).evaluate()


ALL: Final = {name: one for file in FILES for name, one in pins(file).items() if needed(one)}


@pytest.mark.parametrize("file", FILES)
def test_every_line_is_one_exact_version(file: str) -> None:
    for one in pins(file).values():
        (exact,) = one.specifier
        assert exact.operator == "=="
        assert "*" not in exact.version
        assert one.url is None


def test_both_files_agree() -> None:
    small, large = map(pins, FILES)
    assert {name: large.get(name) for name in small} == small


def test_whatever_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = [one for asked in (project["dependencies"], *extras.values()) for one in asked]
    pinned = pins(FILES[1])
    for one in map(Requirement, own):
        assert one.url is None
        if one.name != project["name"]:
            (exact,) = pinned[canonicalize_name(one.name)].specifier
            assert one.specifier.contains(exact.version), one


@pytest.mark.parametrize("name", sorted(ALL.keys() - DEVELOPER_TOOLS))
def test_each_is_installed_as_pinned_and_free(name: str) -> None:
    try:
        installed = version(name)
    except PackageNotFoundError:
        pytest.fail(f"{name} is pinned and not installed: run `make install`")
    assert ALL[name].specifier.contains(installed)
    said = metadata(name)
    classified = [one for one in said.get_all("Classifier") or [] if one.startswith("License")]
    stated = [*(said.get_all("License-Expression") or []), *classified]
    text = " ".join(stated or said.get_all("License") or [])[:200]
    assert FREE.search(text), text
    assert not COPYLEFT.search(text), text


def test_they_fit_together() -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  # ours
    assert done.returncode == 0, done.stdout
