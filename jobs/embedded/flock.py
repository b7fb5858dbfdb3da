"""File locks: held by an open descriptor, released when its last copy is closed.

No lock outlives its process, whether the process is killed or the machine restarts. Unlike a pid
file, a lock cannot refer to another process.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

_POLL_INTERVAL: Final = 0.02


def acquire(
    path: Path, *, shared: bool = False, timeout: float = 0, create: bool = True
) -> int | None:
    """Acquire the lock on a file.

    Args:
        path: Path of the file.
        shared: Acquire a shared lock instead of an exclusive one.
        timeout: Seconds to wait for the lock.
        create: Create the file if it does not exist.

    Returns:
        The descriptor that holds the lock; None if other processes held it until the timeout.

    Raises:
        OSError: The file cannot be opened; FileNotFoundError if `create` is false and it does
            not exist.
    """
    deadline = time.monotonic() + timeout
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            acquired = _try_lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            # If the file was replaced meanwhile, another process can lock the new one.
            if acquired and is_at(descriptor, path):
                lock, descriptor = descriptor, -1
                return lock
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if not acquired and time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_INTERVAL)


def is_held(path: Path) -> bool:
    """Return whether any process holds an exclusive lock on the file."""
    try:
        descriptor = acquire(path, shared=True, create=False)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether the path still names the file that the descriptor has open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
