"""What a process of the folder calls."""

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
from jobs.embedded.process import last_error, stop_leftovers
from jobs.embedded.sockets import discard
from jobs.errors import ServerError

START_TIMEOUT: Final = 120.0
"""Seconds; a start takes about one, and longer after a crash or on a busy machine."""
STOP_TIMEOUT: Final = 60.0
_LOOK_TIMEOUT: Final = 1.0
_POLL: Final = 0.02

# Descriptors of `users.lock`, kept open for the life of this process.
_memberships: dict[Path, int] = {}
_memberships_lock = threading.Lock()


def use(home: Path) -> Servers:
    """The servers of the folder `home`, started if they are not up; that blocks for a second.

    They stay up for at least as long as this process lives. Calling it again is cheap, and brings
    back servers whose holder was killed. Raises ServerError, one line.
    """
    folder = Folder.create(home)
    with folder.errors_explained():
        if not _join(folder, timeout=STOP_TIMEOUT):
            raise ServerError(
                f"the servers of {folder.path} are stopping, and take too long for it"
            )
        return folder.servers() or _start(folder)


def find(home: Path) -> Servers | None:
    """The servers of the folder `home` if they are up, kept up as by `use`; never starts any."""
    folder = Folder.at(home)
    with folder.errors_explained():
        # Whoever has not joined before looking may be handed servers that are just being stopped.
        joined_before = folder.path in _memberships
        try:
            folder.refuse_foreign()
            if not _join(folder, timeout=_LOOK_TIMEOUT, create=False):
                return None
        except FileNotFoundError:
            return None
        servers = folder.servers()
        if servers is None and not joined_before:
            _leave(folder)
        return servers


def up(home: Path) -> Servers:
    """As `use`, and the servers stay up, whoever leaves, until `down`."""
    servers = use(home)
    folder = Folder.at(home)
    with folder.errors_explained():
        folder.pinned.touch()
    return servers


def down(home: Path) -> bool:
    """Stops the servers of the folder `home`, whoever uses them; False if none were up.

    Returns when they have ended. What a killed holder left behind is stopped too.
    """
    folder = Folder.at(home)
    if not folder.path.is_dir():
        return False
    with folder.errors_explained():
        folder.refuse_foreign()
        folder.pinned.unlink(missing_ok=True)
        starting = _starting_lock(folder)
        try:
            stopped = _end_holder(folder)
            stopped = stop_leftovers(folder, timeout=STOP_TIMEOUT) or stopped
            discard(folder.path)
            return stopped
        finally:
            os.close(starting)


def _join(folder: Folder, *, timeout: float, create: bool = True) -> bool:
    with _memberships_lock:
        held = _memberships.get(folder.path)
        if held is not None and flock.is_at(held, folder.users_lock):
            return True
        descriptor = flock.acquire(folder.users_lock, shared=True, timeout=timeout, create=create)
        if descriptor is None:
            return False
        _memberships[folder.path] = descriptor
        if held is not None:  # of a folder that was removed and made again
            os.close(held)
        return True


def _leave(folder: Folder) -> None:
    with _memberships_lock:
        os.close(_memberships.pop(folder.path))


def _starting_lock(folder: Folder) -> int:
    descriptor = flock.acquire(folder.starting_lock, timeout=START_TIMEOUT)
    if descriptor is None:
        raise ServerError(f"another process is busy with the servers of {folder.path}; try again")
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
            time.sleep(_POLL)  # a holder that is stopping, or whose starter was killed
    finally:
        os.close(starting)
    raise _no_answer(folder)


def _launch_holder(folder: Folder) -> Servers:
    folder.forget()
    receive, send = os.pipe()
    with os.fdopen(receive, "rb", buffering=0) as answer:
        try:
            with _opened_for_owner(folder.log("holder")) as log:
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
        launcher.wait()  # it forks the holder and ends, so that nobody has to reap the holder
        if not select.select([answer], [], [], START_TIMEOUT)[0]:
            raise _no_answer(folder)
        text = answer.read()
    if not text:
        raise _no_answer(folder)
    reply: dict[str, str] = json.loads(text)
    if "error" in reply:
        raise ServerError(reply["error"])
    return Servers(**reply)


def _opened_for_owner(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _import_path() -> str:
    """PYTHONPATH for the holder: it runs elsewhere, but shall import what this process imports."""
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _no_answer(folder: Folder) -> ServerError:
    log = folder.log("holder")
    return ServerError(f"the embedded servers did not start: {last_error(log)} ({log} has more)")


def _end_holder(folder: Folder) -> bool:
    deadline = time.monotonic() + STOP_TIMEOUT
    told = False
    while flock.is_held(folder.holder_lock):
        pid = folder.holder_pid()
        if pid is not None and not told:
            os.kill(pid, signal.SIGTERM)
            told = True
        if time.monotonic() >= deadline:
            raise ServerError(f"the servers of {folder.path} do not stop (holder: process {pid})")
        time.sleep(_POLL)
    return told
