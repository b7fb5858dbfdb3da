"""Short private folders for sockets, under /tmp.

A socket path may have 107 bytes (103 on macOS), and project folders can be deep. Any user may
write to /tmp: a folder there is only used if this user owns it and no other user can open it.
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
    """Return the socket folder's name for the folder `home`: stable, and another one for a copy."""
    status = home.stat()
    text = f"{home}\0{status.st_dev}\0{status.st_ino}"
    return f"rl-{os.geteuid()}-{hashlib.sha256(os.fsencode(text)).hexdigest()[:12]}"


@contextmanager
def private_folder(name: str, owner: Account) -> Iterator[Path]:
    """Yield a folder with mode 0700 and without stale sockets, and remove it after the block.

    Args:
        name: Name of the folder.
        owner: User that owns the folder.

    Raises:
        ServerError: The name is taken by a file or folder that is not this user's and private.
    """
    path = _create(name, owner)
    try:
        yield path
    finally:
        _remove(path, owner)


def remove_stale(home: Path) -> None:
    """Remove the socket folders of a killed holder process of `home`."""
    for base in _BASES:
        for path in base.glob(f"{name_for(home)}*"):
            _remove(path, Account.unprivileged())


def _create(name: str, owner: Account) -> Path:
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
    raise ServerError(
        f"cannot create a socket folder: neither {_BASES[0]} nor {_BASES[1]} is writable"
    )


def _remove(path: Path, owner: Account) -> None:
    with suppress(OSError, ServerError):  # not empty, or another user's
        _claim(path, owner)
        path.rmdir()


def _claim(path: Path, owner: Account) -> None:
    # All steps use one descriptor: another user might replace the path in between.
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _not_private(path) from error
    try:
        status = os.fstat(folder)
        if status.st_uid not in (os.geteuid(), owner.uid) or stat.S_IMODE(status.st_mode) != 0o700:
            raise _not_private(path)
        if status.st_uid != owner.uid:
            os.fchown(folder, owner.uid, owner.gid)
        for name in _SOCKETS:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def _not_private(path: Path) -> ServerError:
    return ServerError(f"{path} is not a private folder of this user; remove it and try again")
