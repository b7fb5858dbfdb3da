"""Functions for processes that use the embedded servers of a folder."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO, Final

from jobs.embedded import flock
from jobs.embedded.folder import Folder, Servers
from jobs.embedded.process import last_error, stop_orphans
from jobs.embedded.sockets import remove_stale
from jobs.errors import ServerError

START_TIMEOUT: Final = 120.0
"""Seconds; a start takes about one second, longer after a crash or on a busy machine."""
STOP_TIMEOUT: Final = 60.0
_FIND_TIMEOUT: Final = 1.0
_POLL_INTERVAL: Final = 0.02

# Descriptors of `users.lock` by folder; they stay open until this process ends.
_memberships: dict[Path, int] = {}
_memberships_lock = threading.Lock()


def use(home: Path) -> Servers:
    """Return the servers of a folder, started if they are not running.

    A start blocks for about a second. The servers stay up while this process lives. Repeated calls
    are cheap, and restart servers whose holder process was killed.

    Args:
        home: The folder, created if it does not exist.

    Raises:
        ServerError: The servers cannot be started; the message is one line.
    """
    folder = Folder.create(home)
    with folder.os_errors_mapped():
        if not _join(folder, timeout=STOP_TIMEOUT):
            raise ServerError(
                f"the servers of {folder.path} have been stopping for {STOP_TIMEOUT:g} s; try again"
            )
        return folder.servers() or _start(folder)


def find(home: Path) -> Servers | None:
    """Return the servers of a folder if they are running; never start them.

    Found servers stay up while this process lives.

    Args:
        home: The folder.

    Raises:
        ServerError: The folder cannot be read, or other users control it.
    """
    folder = Folder.at(home)
    with folder.os_errors_mapped():
        # Join first: otherwise the servers found may already be stopping.
        joined_before = folder.path in _memberships
        try:
            folder.check_private()
            if not _join(folder, timeout=_FIND_TIMEOUT, create=False):
                return None
        except FileNotFoundError:
            return None
        servers = folder.servers()
        if servers is None and not joined_before:
            _leave(folder)
        return servers


def up(home: Path) -> Servers:
    """Return the servers of a folder as `use` does, and keep them up until `down`.

    Args:
        home: The folder, created if it does not exist.

    Raises:
        ServerError: The servers cannot be started; the message is one line.
    """
    servers = use(home)
    folder = Folder.at(home)
    with folder.os_errors_mapped():
        folder.pinned.touch()
    return servers


def down(home: Path) -> bool:
    """Stop the servers of a folder, even if processes use them, and wait until they have ended.

    Servers of a killed holder process are stopped too.

    Args:
        home: The folder.

    Returns:
        False if no servers were running.

    Raises:
        ServerError: The servers do not stop, or other users control the folder.
    """
    folder = Folder.at(home)
    if not folder.path.is_dir():
        return False
    with folder.os_errors_mapped():
        folder.check_private()
        folder.pinned.unlink(missing_ok=True)
        starting = _starting_lock(folder)
        try:
            stopped = _end_holder(folder)
            stopped = stop_orphans(folder, timeout=STOP_TIMEOUT) or stopped
            remove_stale(folder.path)
            return stopped
        finally:
            os.close(starting)


def _join(folder: Folder, *, timeout: float, create: bool = True) -> bool:
    with _memberships_lock:
        current = _memberships.get(folder.path)
        if current is not None and flock.is_at(current, folder.users_lock):
            return True
        descriptor = flock.acquire(folder.users_lock, shared=True, timeout=timeout, create=create)
        if descriptor is None:
            return False
        _memberships[folder.path] = descriptor
        if current is not None:  # of a folder that was removed and created again
            os.close(current)
        return True


def _leave(folder: Folder) -> None:
    with _memberships_lock:
        os.close(_memberships.pop(folder.path))


def _starting_lock(folder: Folder) -> int:
    descriptor = flock.acquire(folder.starting_lock, timeout=START_TIMEOUT)
    if descriptor is None:
        raise ServerError(
            f"another process is starting or stopping the servers of {folder.path}; try again"
        )
    return descriptor


def _start(folder: Folder) -> Servers:
    starting = _starting_lock(folder)
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            servers = folder.servers()
            if servers is not None:
                return servers
            if not flock.is_held(folder.holder_lock):
                return _launch_holder(folder)
            time.sleep(_POLL_INTERVAL)  # the holder process is stopping, or its starter was killed
    finally:
        os.close(starting)
    raise _start_failure(folder)


def _launch_holder(folder: Folder) -> Servers:
    folder.forget()
    receive, send = os.pipe()
    with os.fdopen(receive, "rb", buffering=0) as reports:
        try:
            with _open_private(folder.log("holder")) as log:
                launcher = subprocess.Popen(  # noqa: S603  # our own command
                    [sys.executable, "-P", "-m", "jobs.embedded.holder", folder.path, str(send)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[send],
                    start_new_session=True,
                    cwd="/",
                    env={**os.environ, "PYTHONPATH": _import_path()},
                )
        finally:
            os.close(send)
        launcher.wait()  # it forks the holder process and exits, so no child is left to wait for
        if not select.select([reports], [], [], START_TIMEOUT)[0]:
            raise _start_failure(folder)
        text = reports.read()
    if not text:
        raise _start_failure(folder)
    report: dict[str, str] = json.loads(text)
    if "error" in report:
        raise ServerError(report["error"])
    return Servers(**report)


def _open_private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _import_path() -> str:
    """Return a PYTHONPATH that lets the holder process import the same `jobs` package."""
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _start_failure(folder: Folder) -> ServerError:
    log = folder.log("holder")
    return ServerError(f"the embedded servers did not start: {last_error(log)} (see {log})")


def _end_holder(folder: Folder) -> bool:
    deadline = time.monotonic() + STOP_TIMEOUT
    signaled = False
    while flock.is_held(folder.holder_lock):
        pid = folder.holder_pid()
        if pid is not None and not signaled:
            os.kill(pid, signal.SIGTERM)
            signaled = True
        if time.monotonic() >= deadline:
            raise ServerError(f"the servers of {folder.path} do not stop (holder process: {pid})")
        time.sleep(_POLL_INTERVAL)
    return signaled
