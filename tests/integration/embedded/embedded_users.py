"""User processes of the embedded servers, which tests end and kill."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from jobs.embedded import Servers, binaries

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = Path(psutil.__file__).parents[1]
_USER_PROGRAM: Final = """
import sys
from dataclasses import asdict
from json import dumps
from pathlib import Path
from jobs.embedded import use
from jobs.errors import ServerError
try:
    print(dumps(asdict(use(Path(sys.argv[1])))), flush=True)
except ServerError as error:
    print(dumps({"error": str(error)}), flush=True)
sys.stdin.read()
"""


class User:
    """Process that uses the servers of `home` until it leaves or is killed.

    Args:
        home: Folder of the servers.
        python: Python interpreter of the process.
        libraries: Folder of the interpreter's shared libraries.
        import_path: First entry of the process's import path.
        options: More arguments of `Popen`, for instance to run as another user.
    """

    def __init__(
        self,
        home: Path,
        *,
        python: str = sys.executable,
        libraries: Path | None = None,
        import_path: Path | None = None,
        **options: Any,
    ) -> None:
        paths = [import_path, ROOT, PACKAGES]
        self.process = subprocess.Popen(  # noqa: S603  # our own command
            [python, "-c", _USER_PROGRAM, home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={
                "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path),
                "LD_LIBRARY_PATH": str(libraries or os.environ.get("LD_LIBRARY_PATH", "")),
            },
            **options,
        )

    def report(self) -> dict[str, str]:
        """Wait for the process's report: the URLs of the servers, or an error."""
        assert self.process.stdout is not None
        report: dict[str, str] = json.loads(self.process.stdout.readline())
        return report

    def servers(self) -> Servers:
        return Servers(**self.report())

    def error(self) -> str:
        return self.report()["error"]

    def leave(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def using(home: Path, **options: Any) -> Iterator[User]:
    user = User(home, **options)
    try:
        yield user
    finally:
        user.kill()


def processes(home: Path, name: str = "") -> list[psutil.Process]:
    """Return the holder process and the servers of the folder, or those with a name prefix."""
    matches = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            inside = Path(process.cwd()).is_relative_to(home)
            if inside and process.name().startswith(name) and process.status() != "zombie":
                matches.append(process)
    return matches


def move(home: Path) -> None:
    home.rename(home.with_name("moved"))


def holder(home: Path) -> psutil.Process:
    (process,) = [process for process in processes(home) if Path(process.cwd()) == home]
    return process


def python_for(account: Mapping[str, Any], copy: Path) -> dict[str, Any]:
    """Return `User` options for a Python that another user can run: this one, or a copy."""
    if not PACKAGES.stat().st_mode & 0o005:
        pytest.skip("another user cannot read the installed packages")
    with suppress(OSError):
        command = [sys.executable, "-c", "import encodings, pydantic"]
        check = subprocess.run(command, cwd="/", check=False, **account)  # noqa: S603  # ours
        if not check.returncode:
            return {"python": sys.executable}
    copy.chmod(0o755)
    library = Path(sysconfig.get_path("stdlib"))
    ignored = shutil.ignore_patterns("test", "site-packages", "__pycache__", "config-*")
    shutil.copytree(library, copy / "lib" / library.name, ignore=ignored)
    for shared in library.parent.glob("libpython*.so*"):
        shutil.copy(shared, copy / "lib")
    (copy / "bin").mkdir()
    python = shutil.copy(Path(sys.executable).resolve(), copy / "bin")
    return {"python": str(python), "libraries": copy / "lib"}


@contextmanager
def orphan(home: Path, socket: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server of the folder without a holder process, as after a killed one on macOS."""
    with (home / "servers.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(  # noqa: S603  # our own command
            [binaries.redis_server(), "--port", "0", "--save", "", "--unixsocket", socket],
            stdout=subprocess.DEVNULL,
            cwd=home / "redis",
            pass_fds=[lock.fileno()],
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of a size such as `1m` on the folder; skip the test if that is not possible."""
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "ringline", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)  # noqa: S603  # our own command
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine allows no mounts")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)  # noqa: S603  # ours
