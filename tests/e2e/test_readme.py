"""The README's examples, run as printed."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.store.postgres.migrate import upgrade

README = Path(__file__).parents[2] / "README.md"
BIN = Path(sys.executable).parent
TIMEOUT = 90

PEOPLE = "name,phone,timezone\nAnn Example,+1 212 555 0101,America/New_York\nBroken,12,\n"
ELSEWHERE = re.compile(r"make (demo|test)|\. \.venv|ringline (up|migrate|chaos)")
"""Set-up and long runs, which other tests run; here the servers are those of the test."""
GOES_ON = re.compile(r"ringline worker|--watch")
"""Commands that run until they are told to stop."""


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(heading, code) of each fenced block."""
    heading = ""
    fenced = r"^(#+ [^\n]*|```\w*\n.*?^```)$"
    parts = re.split(fenced, README.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for part in parts:
        if part.startswith("#"):
            heading = part.lstrip("# ")
        elif part.startswith(f"```{language}\n"):
            yield heading, part.split("\n", 1)[1].removesuffix("```")


PYTHON = dict(blocks("python"))
COMMANDS = [
    line.split(" #")[0].strip()
    for _, code in blocks("console")
    for line in code.splitlines()
    if not ELSEWHERE.match(line)
]


@pytest.fixture
def folder(tmp_path: Path, redis_url: str, database_url: str) -> Path:
    """A folder with the README's files in it, and a `.env` that names the test's servers."""
    upgrade(database_url)
    (tmp_path / ".env").write_text(f"REDIS_URL={redis_url}\nDATABASE_URL={database_url}\n")
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "billing.py").write_text(PYTHON["A new job"])
    (tmp_path / "test_billing.py").write_text(PYTHON["Test it"])
    (tmp_path / "edited.py").write_text(PYTHON["Enqueue a job"])
    return tmp_path


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    found = {"PATH": path, "HOME": str(folder), "PYTHONPATH": str(folder)}
    return subprocess.run(  # noqa: S603  # the README's own commands
        command, cwd=folder, env=found, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


@pytest.mark.parametrize("shell", ["bash -O expand_aliases -s", "sh -s"])
def test_a_shell_finds_the_command_and_not_its_own(folder: Path, shell: str) -> None:
    """Every shell has a command `jobs`. The lines are read one by one, as those that are typed."""
    words = shell.split()
    if shutil.which(words[0]) is None or not (BIN / "activate").exists():
        pytest.skip(f"there is no {words[0]}, or this Python is in no environment of its own")
    (folder / ".venv").symlink_to(BIN.parent)
    tour = next(code for _, code in blocks("console") if ". .venv" in code)
    before, found, _ = tour.partition("ringline up")
    assert found
    done = subprocess.run(  # noqa: S603  # the README's own commands
        words, input=f"{before}ringline status\n", cwd=folder, env={"PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "lead_tasks" in done.stdout


def test_the_commands_of_the_tour_work(folder: Path) -> None:
    assert len(COMMANDS) >= 8
    for line in COMMANDS:
        words = shlex.split(line)
        if words[-1] == "ID":
            continue  # there is no dead letter to show
        if GOES_ON.search(line):
            _runs_until_told_to_stop(folder, words)
            continue
        done = run(folder, *words)
        # Whether the check still hears of a worker depends on how long ago the last one left.
        expected = (0, 1) if "--check" in line else (0,)
        assert done.returncode in expected, f"{line}\n{done.stdout}{done.stderr}"
    rejected = (folder / "rejected.csv").read_text()
    assert "12" in rejected


def _runs_until_told_to_stop(folder: Path, words: list[str]) -> None:
    # `timeout` sends what a person would: the program has to come up first, and to end by itself.
    done = run(folder, "timeout", "--signal", signal.SIGTERM.name, "--preserve-status", "6", *words)
    assert done.returncode in (0, -signal.SIGTERM, 128 + signal.SIGTERM), done.stderr


def test_the_new_job_runs_under_both_commands(folder: Path) -> None:
    for command in (["ringline", "worker", "--burst"], ["arq", "--burst"]):
        words = [command[0], *command[1:-1], "billing.WorkerSettings", command[-1]]
        done = run(folder, *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_new_jobs_test_passes(folder: Path) -> None:
    options = ["-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-q"]
    done = run(folder, sys.executable, "-m", "pytest", *options, "test_billing.py")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_service_enqueues_as_shown(folder: Path) -> None:
    code = "import asyncio, uuid, edited; asyncio.run(edited.lead_was_edited(uuid.uuid4()))"
    done = run(folder, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    status = run(folder, "ringline", "status", "--json")
    assert '"length": 3' in status.stdout, status.stdout
