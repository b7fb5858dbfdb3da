"""A virtual environment with the wheel and the dependencies that the wheel declares, no others.

The dependencies are links to those of the running environment, so nothing is downloaded.
"""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("jobs", "settings", "tests", "benchmarks")
FILES: Final = ("pyproject.toml", "README.md", "LICENSE")
SAMPLE_TABLE: Final = "jobs/rules/sample.csv"
"""Added to the sources: tables belong in the wheel, and the package has none yet."""
TIMEOUT: Final = 90.0
"""Seconds that one command may take on a busy machine."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment.

    Attributes:
        home: Folder of the environment.
        packages: The environment's site-packages.
    """

    home: Path
    packages: Path

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    def run(
        self, folder: Path, *command: str, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command of the environment in a folder, with no variables but these."""
        path = f"{self.home / 'bin'}{os.pathsep}{os.defpath}"
        return subprocess.run(  # noqa: S603  # commands of the tests
            [shutil.which(command[0], path=path) or command[0], *command[1:]],
            cwd=folder,
            env={"PATH": path, "HOME": str(folder), **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


def missing_build_tools() -> str | None:
    """Return why no wheel can be built here, or None."""
    if Version(distribution("setuptools").version) < Version("77"):
        return "building the wheel takes setuptools >= 77: run `make install`"
    return None


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the sources.

    A `build` folder that an earlier build left in the checkout would leak into the wheel.
    """
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, source)
    (source / SAMPLE_TABLE).write_text("a,b\n")
    out = folder / "wheel"
    _pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(out), str(source))
    (wheel,) = out.glob("*.whl")
    return wheel


def create_environment(home: Path, wheel: Path) -> Environment:
    """Create an environment with the wheel and the dependencies of its core, without extras."""
    venv.create(home, with_pip=False)
    (packages,) = home.glob("lib/python*/site-packages")
    environment = Environment(home, packages)
    install = ("install", "--no-deps", "--no-index", str(wheel))
    _pip("--python", str(environment.python), *install)
    for entry in _entries(_closure(wheel)):
        link = packages / entry.name
        if not link.exists():
            link.symlink_to(entry)
    return environment


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(  # noqa: S603  # our own command
        command, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(arguments)}\n{done.stdout}{done.stderr}")


def metadata_of(wheel: Path) -> Distribution:
    """Return the metadata that the wheel carries."""
    folder = zipfile.Path(wheel) / f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/"
    return PathDistribution(folder)


def _closure(wheel: Path) -> Iterator[Distribution]:
    """The installed distributions that the core of the wheel requires, directly or not."""
    waiting = [(metadata_of(wheel), "")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanting, extra = waiting.pop()
        for requirement in map(Requirement, wanting.requires or ()):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            for its_extra in ("", *sorted(requirement.extras)):
                key = canonicalize_name(requirement.name), its_extra
                if key not in seen:
                    seen.add(key)
                    found = distribution(requirement.name)
                    waiting.append((found, its_extra))
                    yield found


def _entries(distributions: Iterable[Distribution]) -> Iterator[Path]:
    """The top-level files and folders of the distributions in site-packages."""
    for one in distributions:
        for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            yield Path(str(one.locate_file(top)))
