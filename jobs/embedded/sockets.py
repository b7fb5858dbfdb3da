"""Short private folders under /tmp for sockets, and one under /var/tmp for programs.

The path of a Unix socket may have 107 bytes (104 on macOS), and projects sit in deep folders. /tmp
is everybody's: a name there is only used if it is a folder of ours that is closed to others.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from jobs.embedded.process import Account
from jobs.errors import ServerError

_SOCKETS: Final = ("redis.sock", ".s.PGSQL.5432", ".s.PGSQL.5432.lock")
DISK_BASES: Final = (Path("/var/tmp"), Path("/tmp"))  # noqa: S108  # made private below
_BASES: Final = DISK_BASES[::-1]


def name_for(home: Path) -> str:
    """The name that belongs to the folder `home`: the same at each start, another for a copy."""
    status = home.stat()
    text = f"{home}\0{status.st_dev}\0{status.st_ino}"
    return f"rl-{os.geteuid()}-{hashlib.sha256(os.fsencode(text)).hexdigest()[:12]}"


def private_folder(name: str, owner: Account, *, bases: Sequence[Path] = _BASES) -> Path:
    """The folder of that name, made if need be, with mode 0700, without sockets of the past.

    Raises ServerError where someone else has taken the name.
    """
    for base in bases:
        path = base / name
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except OSError:
            continue
        _claim(path, owner)
        return path
    raise ServerError(f"neither {bases[0]} nor {bases[1]} is writable, and one of them is needed")


def remove(path: Path) -> None:
    """Removes a folder of sockets that is no longer needed, if it is empty."""
    try:
        path.rmdir()
    except OSError:
        return


def _claim(path: Path, owner: Account) -> None:
    # All through one descriptor: the path might be exchanged between two steps.
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _taken(path) from error
    try:
        status = os.fstat(folder)
        if status.st_uid not in (os.geteuid(), owner.uid) or stat.S_IMODE(status.st_mode) != 0o700:
            raise _taken(path)
        if status.st_uid != owner.uid:
            os.fchown(folder, owner.uid, owner.gid)
        for name in _SOCKETS:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def _taken(path: Path) -> ServerError:
    return ServerError(f"{path} is not a private folder of this user; remove it, and try again")
