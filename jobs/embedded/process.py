"""Starting and stopping the processes of the servers."""

import ctypes
import errno
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from jobs.embedded import flock
from jobs.embedded.folder import Folder
from jobs.errors import ServerError

_NAMES: Final = ("valkey-server", "postgres")
_KILL_AFTER: Final = 20.0
"""Seconds that a server has to end of its own accord."""


@dataclass(frozen=True)
class Account:
    """The user as whom a server runs."""

    name: str
    uid: int
    gid: int

    @classmethod
    def own(cls) -> "Account":
        """This process's user; ServerError where the uid has no name (PostgreSQL asks for one)."""
        uid = os.geteuid()
        try:
            return cls(pwd.getpwuid(uid).pw_name, uid, os.getegid())
        except KeyError:
            raise ServerError(
                f"the uid {uid} has no entry in the passwd database, which the embedded PostgreSQL "
                "needs; add one, or set REDIS_URL and DATABASE_URL to servers of your own"
            ) from None

    @classmethod
    def unprivileged(cls) -> "Account":
        """As `own`; `nobody` for root, as whom PostgreSQL refuses to run."""
        own = cls.own()
        if own.uid != 0:
            return own
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise ServerError(
                "for root, the embedded PostgreSQL runs as the user nobody, whom this machine does "
                "not know; run as an ordinary user, or set DATABASE_URL to a server of your own"
            ) from None
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class ServerProcess:
    """A server process of this holder."""

    name: str
    process: "subprocess.Popen[bytes]"
    end_signal: signal.Signals
    """On which it ends in good order, whoever is still connected."""
    log: Path
    socket: Path

    def alive(self) -> bool:
        return self.process.poll() is None

    def failure(self) -> ServerError:
        """Why it did not start, in one line."""
        return ServerError(
            f"the embedded {self.name} did not start: {last_error(self.log)} ({self.log} has more)"
        )


def start(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    socket: Path,
    end_signal: signal.Signals,
    account: Account,
    lock: int,
    cwd: Path,
    keep: Sequence[int] = (),
) -> ServerProcess:
    """Starts a server that ends when this process ends.

    lock: the descriptor of `servers.lock`, which the server keeps held while any of it lives.
    keep: further descriptors that it shall have.
    """
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                pass_fds=[lock, *keep],
                env={},  # PGPORT, LC_ALL and the like are not meant for these servers
                preexec_fn=_end_with_this_process(end_signal),  # no threads here
                **as_account(account),
            )
    except OSError as error:
        raise ServerError(
            f"the embedded {name} cannot be started: {command[0]}: {error.strerror}"
        ) from error
    return ServerProcess(name, process, end_signal, log, socket)


class _UserArguments(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def as_account(account: Account) -> _UserArguments:
    """The arguments with which `subprocess` starts a program as `account`."""
    if account.uid == os.geteuid():
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def stop(servers: Iterable[ServerProcess]) -> None:
    """Ends the servers, all at once: in good order if they can, killed if they take too long."""
    running = [server for server in servers if server.alive()]
    for server in running:
        server.process.send_signal(server.end_signal)
    deadline = time.monotonic() + _KILL_AFTER
    for server in running:
        try:
            server.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


def stop_leftovers(folder: Folder, timeout: float) -> bool:
    """Ends servers of the folder that have outlived their holder; True if there were any.

    Where the kernel can, it has ended them with the holder (`start`), and this waits for the last
    of them. Only call it while no holder can be starting servers.
    """
    if not flock.is_held(folder.servers_lock):
        return False
    deadline = time.monotonic() + timeout
    for process_signal, patience in ((signal.SIGINT, _KILL_AFTER), (signal.SIGKILL, timeout)):
        for pid in _leftovers(folder):
            _signal(pid, process_signal)
        lock = flock.acquire(
            folder.servers_lock, timeout=min(patience, max(0.0, deadline - time.monotonic()))
        )
        if lock is not None:
            os.close(lock)
            return True
    raise ServerError(
        f"old servers of {folder.path} do not end; end these processes: {_leftovers(folder)}"
    )


def last_error(log: Path) -> str:
    """The line of a server's log that says what is wrong, without its time stamp."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    for mark in ("PANIC: ", "FATAL: ", "error: ", "*** ", " # "):
        for line in reversed(lines):
            if mark in line:
                return line.split(mark, 1)[1].strip()
    if lines:
        return lines[-1]
    full = shutil.disk_usage(log.parent).free == 0
    return os.strerror(errno.ENOSPC) if full else "it said nothing"


def _leftovers(folder: Folder) -> list[int]:
    """The servers that work in the folder's data, without the processes they forked themselves."""
    import psutil  # only this rare case needs it

    homes = {str(folder.redis_data), str(folder.postgres_data)}
    found: dict[int, int | None] = {}
    for process in psutil.process_iter():
        try:
            if process.name() in _NAMES and process.cwd() in homes:
                found[process.pid] = process.ppid()
        except psutil.Error:
            continue  # ended, or another user's
    return [pid for pid, parent in found.items() if parent not in found]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _end_with_this_process(number: signal.Signals) -> Callable[[], None] | None:
    """What a child does before it becomes the server: ask the kernel to end it with its parent."""
    if sys.platform != "linux":
        return None
    parent, prctl, set_parent_death_signal = os.getpid(), ctypes.CDLL(None).prctl, 1

    def prepare() -> None:
        prctl(set_parent_death_signal, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it was killed just before
            os._exit(1)

    return prepare
