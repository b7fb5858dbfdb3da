"""Short private folders for sockets, under /tmp.

The path of a Unix socket may have 107 bytes (104 on macOS), and projects sit in deep folders. /tmp
is everybody's: a name there is only used if it is a folder of ours that is closed to others.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from jobs.embedded.process import Account
from jobs.errors import ServerError

_SOCKETS: Final = ("redis.sock", ".s.PGSQL.5432", ".s.PGSQL.5432.lock")
_BASES: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108  # made private below


def name_for(home: Path) -> str:
    """The name that belongs to the folder `home`: the same at each start, another for a copy."""
    status = home.stat()
    text = f"{home}\0{status.st_dev}\0{status.st_ino}"
    return f"rl-{os.geteuid()}-{hashlib.sha256(os.fsencode(text)).hexdigest()[:12]}"


@contextmanager
def private_folder(name: str, owner: Account) -> Iterator[Path]:
    """A folder of that name with mode 0700, without sockets of the past, for the block.

    Raises ServerError where someone else has taken the name.
    """
    path = _made(name, owner)
    try:
        yield path
    finally:
        _remove(path, owner)


def discard(home: Path) -> None:
    """Removes what a killed holder of `home` left here."""
    for base in _BASES:
        for path in base.glob(f"{name_for(home)}*"):
            _remove(path, Account.unprivileged())


def _made(name: str, owner: Account) -> Path:
    for base in _BASES:
        path = base / name
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except OSError:
            continue
        _claim(path, owner)
        return path
    raise ServerError(f"neither {_BASES[0]} nor {_BASES[1]} is writable, and sockets need one")


def _remove(path: Path, owner: Account) -> None:
    with suppress(OSError, ServerError):  # in use for something else, or not ours
        _claim(path, owner)
        path.rmdir()


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
