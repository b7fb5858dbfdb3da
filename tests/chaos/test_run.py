"""`ringline chaos` as a process, with temporary servers and workers."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil
import pytest

from jobs.cli import main
from jobs.testing import wait_until

COMMAND = Path(sys.executable).parent / "ringline"
TIMEOUT = 150


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Temporary folder for the run, with a short path, since it holds sockets."""
    with tempfile.TemporaryDirectory(prefix="rl-") as name:
        yield Path(name)


@contextmanager
def chaos(temporary: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `ringline chaos` as a process; kill it after the block."""
    process = subprocess.Popen(  # noqa: S603  # the project's own command
        [str(COMMAND), "chaos", *options],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_all_invariants_hold_after_a_short_run(temporary: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    with chaos(temporary, "--minutes", "0.2", "--seed", "7", "--json", str(file)) as process:
        printed, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, ""), printed
    report = orjson.loads(file.read_bytes())
    assert "all invariants hold" in printed
    assert report["balances"] is True
    assert report["faults"]["kill a worker"] >= 1
    assert report["faults"]["restart Redis"] >= 1
    assert report["figures"]["calls"] >= report["figures"]["leads"]
    assert report["figures"]["jobs dead-lettered"] >= 1
    assert is_empty(temporary)


async def test_interrupt_ends_all_processes_and_removes_the_folder(temporary: Path) -> None:
    with chaos(temporary, "--minutes", "1") as process:
        children = await wait_until(lambda: workers_of(process.pid), timeout=TIMEOUT)
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.to_thread(process.communicate, timeout=TIMEOUT)
    assert process.returncode == 130
    assert errors.strip() == "ringline: interrupted"
    assert not [child for child in children if child.is_running()]
    assert is_empty(temporary)


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def workers_of(pid: int) -> list[psutil.Process]:
    """Return all processes of a run, once its workers have started."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        commands = [child.cmdline() for child in children]
    except psutil.Error:  # a process has just ended
        return []
    return children if sum("jobs.worker" in command for command in commands) >= 3 else []


@pytest.mark.parametrize(
    "options",
    [
        ["--minutes", "0"],
        ["--minutes", "soon"],
        ["--seed", "1.5"],
        ["--workers", "2"],
        ["--json", "/nowhere/report.json"],
        ["--log", "/nowhere/workers.log"],
    ],
)
def test_bad_option_is_reported_in_one_line(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, errors = in_this_process(options, capsys)
    assert code == 2
    assert errors.startswith("ringline: ")
    assert errors.count("\n") == 1


def test_dry_run_prints_the_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    first = in_this_process(["--dry-run", "--seed", "7"], capsys)
    assert in_this_process(["--dry-run", "--seed", "7"], capsys) == first
    code, printed, errors = first
    assert (code, errors) == (0, "")
    assert "restart Redis for" in printed


def in_this_process(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[str | int | None, str, str]:
    """Run the command in this process; return the exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["chaos", *options])
    return ended.value.code, *capsys.readouterr()
