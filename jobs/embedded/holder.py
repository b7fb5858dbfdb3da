"""Holder process, the owner of a folder's servers: `python -m jobs.embedded.holder FOLDER FD`.

The holder process starts the servers and reports their URLs, or an error, through the pipe FD. It
stops the servers after the last user has left, on SIGTERM, or when the folder is removed.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from enum import Enum, auto
from pathlib import Path
from typing import Final

from jobs.embedded import binaries, flock, postgres_server, redis_server, sockets
from jobs.embedded.folder import Folder, Servers
from jobs.embedded.process import Account, ServerProcess, stop, stop_orphans
from jobs.errors import ServerError

GRACE: Final = 2.0
"""Grace period, in seconds: the servers stay up between commands that follow each other."""
_POLL_INTERVAL: Final = 0.2
_READY_TIMEOUT: Final = 90.0
_ORPHANS_TIMEOUT: Final = 60.0
_STABLE_AFTER: Final = 60.0
"""Seconds of operation that reset the count of crashes."""
_MAX_CRASHES: Final = 3
"""Crashes in a row after which the holder process gives up."""


class _StopReason(Enum):
    UNUSED = auto()
    FOLDER_REMOVED = auto()
    CRASHED = auto()


class _Report:
    """Pipe to the process that started the holder process; it reads one message."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def send(self, message: dict[str, str]) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(message).encode())
        except BrokenPipeError:
            pass  # the reader was killed; the next process reads the state file
        finally:
            os.close(self._descriptor)
            self._descriptor = None


def hold(folder: Folder, report: _Report) -> None:
    """Run the servers of the folder until they are no longer needed.

    Restarts servers that crash.

    Args:
        folder: The folder.
        report: Receives the URLs of the servers once they are ready.

    Raises:
        ServerError: The servers cannot be started, or another holder process runs them.
    """
    lock = flock.acquire(folder.holder_lock, timeout=5)
    if lock is None:
        raise ServerError(f"another process runs the servers of {folder.path}; try again")
    os.chdir(folder.path)  # keeps its inode from being reused by a new folder of this name
    crashes = 0
    while crashes < _MAX_CRASHES:
        started = time.monotonic()
        with _servers(folder, report) as servers:
            reason = _watch(folder, lock, servers)
            _log(f"stopping servers: {reason.name.lower()}")
        if reason is not _StopReason.CRASHED:
            return
        crashes = 1 if time.monotonic() - started > _STABLE_AFTER else crashes + 1


@contextmanager
def _servers(folder: Folder, report: _Report) -> Iterator[list[ServerProcess]]:
    """Run the servers and publish their URLs while the block runs."""
    own, unprivileged = Account.own(), Account.unprivileged()
    name = sockets.name_for(folder.path)
    stop_orphans(folder, _ORPHANS_TIMEOUT)
    with ExitStack() as stack:
        redis_sockets = postgres_sockets = stack.enter_context(sockets.private_folder(name, own))
        if unprivileged != own:
            postgres_sockets = stack.enter_context(
                sockets.private_folder(f"{name}-pg", unprivileged)
            )
        programs = stack.enter_context(binaries.postgres_programs(unprivileged, name))
        servers: list[ServerProcess] = []
        stack.callback(stop, servers)
        with _servers_lock(folder) as lock:
            servers.append(redis_server.start(folder, redis_sockets, lock))
            servers.append(
                postgres_server.start(folder, programs, unprivileged, postgres_sockets, lock)
            )
        redis_server.wait_ready(servers[0], _READY_TIMEOUT)
        postgres_server.wait_ready(servers[1], _READY_TIMEOUT)
        urls = Servers(redis_server.url(redis_sockets), postgres_server.url(postgres_sockets))
        stack.callback(folder.withdraw, os.getpid())
        folder.publish(urls)
        report.send(asdict(urls))
        _log("servers are ready")
        yield servers


@contextmanager
def _servers_lock(folder: Folder) -> Iterator[int]:
    """Hold the lock that the servers inherit; after the block only the servers hold it."""
    lock = flock.acquire(folder.servers_lock, timeout=1)
    if lock is None:
        raise ServerError(f"the servers of {folder.path} are already running; try again")
    try:
        yield lock
    finally:
        os.close(lock)


def _watch(folder: Folder, lock: int, servers: list[ServerProcess]) -> _StopReason:
    """Wait until the servers should stop, and return the reason."""
    last_used = time.monotonic()
    while True:
        time.sleep(_POLL_INTERVAL)
        if not flock.is_at(lock, folder.holder_lock):
            return _StopReason.FOLDER_REMOVED
        if not all(server.alive() and server.socket.exists() for server in servers):
            return _StopReason.CRASHED
        users_lock = flock.acquire(folder.users_lock)
        if users_lock is None or folder.pinned.exists():
            last_used = time.monotonic()
        elif time.monotonic() - last_used >= GRACE:
            return _StopReason.UNUSED  # the lock stays held until this process ends
        if users_lock is not None:
            os.close(users_lock)


def _log(text: str) -> None:
    with suppress(OSError):  # the disk may be full
        sys.stderr.write(f"holder {os.getpid()}: {text}\n")
        sys.stderr.flush()


def _handle_sigterm(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def main() -> None:
    """Detach from the parent process and run the servers."""
    folder, report = Folder(Path(sys.argv[1])), _Report(int(sys.argv[2]))
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _handle_sigterm)
    try:
        with folder.os_errors_mapped():
            hold(folder, report)
    except ServerError as error:
        report.send({"error": str(error)})
        _log(str(error))


if __name__ == "__main__":
    main()
