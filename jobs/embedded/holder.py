"""The process that owns the servers of a folder: `python -m jobs.embedded.holder FOLDER FD`.

It starts them, tells how that went through the pipe FD, and stops them when the last user has left,
when it is told to (SIGTERM), or when the folder is gone.
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
from jobs.embedded.process import Account, ServerProcess, stop, stop_leftovers
from jobs.errors import ServerError

GRACE: Final = 2.0
"""Seconds without a user after which the servers stop: commands often come one after another."""
_TICK: Final = 0.2
_READY_TIMEOUT: Final = 90.0
_LEFTOVERS_TIMEOUT: Final = 60.0
_STABLE: Final = 60.0
"""Seconds; servers that crash sooner than this, several times in a row, are given up."""
_CRASHES: Final = 3


class _Ending(Enum):
    UNUSED = auto()
    GONE = auto()
    CRASHED = auto()


class _Report:
    """The pipe to the process that started the holder, which waits for the first word."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def send(self, message: dict[str, str]) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(message).encode())
        except BrokenPipeError:
            pass  # it was killed meanwhile; the state file tells the next one
        finally:
            os.close(self._descriptor)
            self._descriptor = None


def hold(folder: Folder, report: _Report) -> None:
    """Holds the servers of the folder until they are no longer needed."""
    lock = flock.acquire(folder.holder_lock, timeout=5)
    if lock is None:
        raise ServerError(f"another process holds the servers of {folder.path}; try again")
    os.chdir(folder.path)  # so that a new folder of this name cannot get this one's inode
    crashes = 0
    while crashes < _CRASHES:
        started = time.monotonic()
        with _servers(folder, report) as servers:
            ending = _watch(folder, lock, servers)
            _log(f"stopping: {ending.name.lower()}")
        if ending is not _Ending.CRASHED:
            return
        crashes = 1 if time.monotonic() - started > _STABLE else crashes + 1


@contextmanager
def _servers(folder: Folder, report: _Report) -> Iterator[list[ServerProcess]]:
    """The servers, up and published while the block runs."""
    own, unprivileged = Account.own(), Account.unprivileged()
    name = sockets.name_for(folder.path)
    stop_leftovers(folder, _LEFTOVERS_TIMEOUT)
    with ExitStack() as stack:
        for_redis = for_postgres = stack.enter_context(sockets.private_folder(name, own))
        if unprivileged != own:
            for_postgres = stack.enter_context(sockets.private_folder(f"{name}-pg", unprivileged))
        programs = stack.enter_context(binaries.postgres_programs(unprivileged, name))
        running: list[ServerProcess] = []
        stack.callback(stop, running)
        with _servers_lock(folder) as lock:
            running.append(redis_server.start(folder, for_redis, lock))
            running.append(
                postgres_server.start(folder, programs, unprivileged, for_postgres, lock)
            )
        redis_server.wait_ready(running[0], _READY_TIMEOUT)
        postgres_server.wait_ready(running[1], _READY_TIMEOUT)
        servers = Servers(redis_server.url(for_redis), postgres_server.url(for_postgres))
        stack.callback(folder.withdraw, os.getpid())
        folder.publish(servers)
        report.send(asdict(servers))
        _log("up")
        yield running


@contextmanager
def _servers_lock(folder: Folder) -> Iterator[int]:
    """The lock that the servers inherit; after the block they alone hold it."""
    lock = flock.acquire(folder.servers_lock, timeout=1)
    if lock is None:
        raise ServerError(f"servers of {folder.path} are running already; try again")
    try:
        yield lock
    finally:
        os.close(lock)


def _watch(folder: Folder, lock: int, servers: list[ServerProcess]) -> _Ending:
    """Returns when the servers should stop, and says why."""
    last_used = time.monotonic()
    while True:
        time.sleep(_TICK)
        if not flock.is_at(lock, folder.holder_lock):
            return _Ending.GONE
        if not all(server.alive() and server.socket.exists() for server in servers):
            return _Ending.CRASHED
        users = flock.acquire(folder.users_lock)
        if users is None or folder.pinned.exists():
            last_used = time.monotonic()
        elif time.monotonic() - last_used >= GRACE:
            return _Ending.UNUSED  # `users` stays locked until this process has ended
        if users is not None:
            os.close(users)


def _log(text: str) -> None:
    with suppress(OSError):  # the disk may be full
        sys.stderr.write(f"holder {os.getpid()}: {text}\n")
        sys.stderr.flush()


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def main() -> None:
    """Detaches from whoever started it, and holds the servers."""
    folder, report = Folder(Path(sys.argv[1])), _Report(int(sys.argv[2]))
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    try:
        with folder.errors_explained():
            hold(folder, report)
    except ServerError as error:
        report.send({"error": str(error)})
        _log(str(error))


if __name__ == "__main__":
    main()
