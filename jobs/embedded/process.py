"""Server processes: start, stop, and removal of servers whose holder process was killed."""

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

_PROGRAM_NAMES: Final = ("valkey-server", "postgres")
_KILL_AFTER: Final = 20.0
"""Grace period of a server that was asked to end, in seconds."""


@dataclass(frozen=True)
class Account:
    """User that runs a server.

    Attributes:
        name: Login name.
        uid: User id.
        gid: Group id.
    """

    name: str
    uid: int
    gid: int

    @classmethod
    def own(cls) -> "Account":
        """Return the user of this process.

        Raises:
            ServerError: The uid has no passwd entry, which PostgreSQL requires.
        """
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
        """Return the user of this process, or `nobody` for root, which PostgreSQL rejects.

        Raises:
            ServerError: The user has no passwd entry.
        """
        own = cls.own()
        if own.uid != 0:
            return own
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise ServerError(
                "as root, the embedded PostgreSQL runs as the user nobody, which does not exist on "
                "this machine; run as an ordinary user, or set DATABASE_URL to a server of your own"
            ) from None
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class ServerProcess:
    """Server process of this holder process.

    Attributes:
        name: Name of the server, for messages.
        process: The process.
        end_signal: Signal for a clean shutdown that does not wait for clients.
        log: Log file.
        socket: Socket path.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    end_signal: signal.Signals
    log: Path
    socket: Path

    def alive(self) -> bool:
        return self.process.poll() is None

    def failure(self) -> ServerError:
        """Return the error of a server that did not start, one line."""
        return ServerError(
            f"the embedded {self.name} did not start: {last_error(self.log)} (see {self.log})"
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
    """Start a server process; on Linux, it ends when this process ends.

    Args:
        name: Name of the server, for messages.
        command: Program and arguments.
        log: File for the output of the server.
        socket: Socket path.
        end_signal: Signal for a clean shutdown that does not wait for clients.
        account: User that runs the server.
        lock: Descriptor of `servers.lock`, which the server holds while any of its processes lives.
        cwd: Working directory.
        keep: More descriptors that the server inherits.

    Raises:
        ServerError: The program cannot be started.
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
                env={},  # PGPORT, LC_ALL and the like must not reach the servers
                preexec_fn=_end_with_this_process(end_signal),  # safe: this process has no threads
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
    """Return the arguments that make `subprocess` start a program as `account`."""
    if account.uid == os.geteuid():
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def stop(servers: Iterable[ServerProcess]) -> None:
    """Stop servers concurrently, and kill those that exceed the grace period."""
    alive = [server for server in servers if server.alive()]
    for server in alive:
        server.process.send_signal(server.end_signal)
    deadline = time.monotonic() + _KILL_AFTER
    for server in alive:
        try:
            server.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


def stop_orphans(folder: Folder, timeout: float) -> bool:
    """Stop servers of the folder that have outlived their holder process.

    On Linux the kernel ends such servers (see `start`), and this function only waits for them. The
    caller makes sure that no holder process is starting servers.

    Args:
        folder: The folder.
        timeout: Seconds to wait in total.

    Returns:
        True if there were any such servers.

    Raises:
        ServerError: The servers are still running after the timeout.
    """
    if not flock.is_held(folder.servers_lock):
        return False
    deadline = time.monotonic() + timeout
    for process_signal, grace in ((signal.SIGINT, _KILL_AFTER), (signal.SIGKILL, timeout)):
        for pid in _find_orphans(folder):
            _signal(pid, process_signal)
        lock = flock.acquire(
            folder.servers_lock, timeout=min(grace, max(0.0, deadline - time.monotonic()))
        )
        if lock is not None:
            os.close(lock)
            return True
    raise ServerError(
        f"servers of {folder.path} without a holder do not stop; "
        f"kill these processes: {_find_orphans(folder)}"
    )


def last_error(log: Path) -> str:
    """Return the line of a server's log that states the error, without its timestamp."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    for mark in ("PANIC: ", "FATAL: ", "error: ", "*** ", " # "):
        for line in reversed(lines):
            if mark in line:
                return line.split(mark, 1)[1].strip()
    if lines:
        return lines[-1]
    full = shutil.disk_usage(log.parent).free == 0
    return os.strerror(errno.ENOSPC) if full else "no output"


def _find_orphans(folder: Folder) -> list[int]:
    """Return the pids of servers that use the folder's data, without their child processes."""
    import psutil  # slow import for a rare case

    homes = {str(folder.redis_data), str(folder.postgres_data)}
    parents: dict[int, int | None] = {}
    for process in psutil.process_iter():
        try:
            if process.name() in _PROGRAM_NAMES and process.cwd() in homes:
                parents[process.pid] = process.ppid()
        except psutil.Error:
            continue  # ended, or owned by another user
    return [pid for pid, parent in parents.items() if parent not in parents]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _end_with_this_process(number: signal.Signals) -> Callable[[], None] | None:
    """Return a function for the child process that ties its life to this process (Linux only)."""
    if sys.platform != "linux":
        return None
    parent, prctl, set_parent_death_signal = os.getpid(), ctypes.CDLL(None).prctl, 1

    def prepare() -> None:
        prctl(set_parent_death_signal, int(number), 0, 0, 0)
        if os.getppid() != parent:  # the parent ended before the call
            os._exit(1)

    return prepare
