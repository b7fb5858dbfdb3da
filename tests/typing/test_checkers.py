"""mypy --strict and strict pyright over the check files, as a user of the wheel runs them.

The check files mark each mistake with `type: ignore`. An ignore without a mistake fails too, so
both checkers report every mistake and nothing else.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import jobs
import jobs.testing
from tests.packaging.clean_environment import Environment

FOLDER: Final = Path(__file__).parent
TIMEOUT: Final = 300.0
"""Seconds: mypy reads all of the libraries, without a cache."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the check files, and no configuration of ours."""
    for file in FOLDER.glob("check_*.py"):
        shutil.copy(file, tmp_path)
    rules = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": True}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(rules))
    return tmp_path


def _run(project: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603  # our own commands
        [sys.executable, "-P", "-m", *command],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_the_project_uses_each_public_name() -> None:
    text = (FOLDER / "check_project.py").read_text()

    names = [*jobs.__all__, *jobs.testing.__all__]
    assert [name for name in names if name not in text] == []


def test_mypy_reports_the_mistakes_alone(project: Path, environment: Environment) -> None:
    options = ("--strict", "--config-file=", f"--cache-dir={project / 'cache'}")
    python = f"--python-executable={environment.python}"
    done = _run(project, "mypy", *options, python, ".")

    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_reports_the_mistakes_alone(project: Path, environment: Environment) -> None:
    done = _run(project, "pyright", "--pythonpath", str(environment.python))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_mistake_that_nobody_marks_fails(
    project: Path, environment: Environment, checker: str
) -> None:
    """The checkers see the types of the installed package, not `Any`."""
    code = "from jobs import no_such_name, retry\n\nretry(max_retries='many')\n"
    (project / "wrong.py").write_text(code)
    option = "--python-executable" if checker == "mypy" else "--pythonpath"
    done = _run(project, checker, option, str(environment.python), "wrong.py")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "no_such_name" in done.stdout
    assert "max_retries" in done.stdout
