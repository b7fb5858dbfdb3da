"""File locks: held by an open descriptor, given back when its last copy is closed.

No process can leave one behind, whether it is killed or the machine restarts, and there is no pid
that might be someone else's by now.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

_POLL: Final = 0.02


def acquire(
    path: Path, *, shared: bool = False, timeout: float = 0, create: bool = True
) -> int | None:
    """The descriptor that holds the lock on `path`; None if others kept it for `timeout` seconds.

    Raises OSError where the file cannot be opened, FileNotFoundError without `create`.
    """
    deadline = time.monotonic() + timeout
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            taken = _try(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            # A file that was removed meanwhile may be locked by many at once.
            if taken and is_at(descriptor, path):
                held, descriptor = descriptor, -1
                return held
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if not taken and time.monotonic() >= deadline:
            return None
        time.sleep(_POLL)


def is_held(path: Path) -> bool:
    """Whether someone holds the lock on `path` exclusively."""
    try:
        descriptor = acquire(path, shared=True, create=False)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def is_at(descriptor: int, path: Path) -> bool:
    """Whether `path` is still the file that `descriptor` has open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _try(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
