"""Embedded PostgreSQL: durable, on a Unix socket only, accessible to this user only."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg

from jobs.embedded import databases
from jobs.embedded.folder import Folder
from jobs.embedded.process import Account, ServerProcess, as_account, last_error
from jobs.embedded.process import start as start_process
from jobs.errors import ServerError

DATABASE: Final = "ringline"
_POLL_INTERVAL: Final = 0.02
_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # compilation costs more than it saves on short queries
    # Without replication, COPY and CREATE DATABASE write far less.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "log_checkpoints": "off",
}


def start(
    folder: Folder, programs: Path, account: Account, socket_dir: Path, lock: int
) -> ServerProcess:
    """Start PostgreSQL on the folder's data, initialized if necessary; see `wait_ready`.

    The caller holds `servers.lock`: no other server uses the data then, even if a killed server
    or a restarted machine has left a `postmaster.pid`.

    Args:
        folder: Folder of the data and the log.
        programs: Folder of `initdb` and `postgres`.
        account: User that runs the server.
        socket_dir: Folder for the socket.
        lock: Descriptor of `servers.lock`, which the server inherits.

    Raises:
        ServerError: The data cannot be initialized, or the program cannot be started.
    """
    if not folder.postgres_data.exists():
        _initialize(folder, programs, account)
    (folder.postgres_data / "postmaster.pid").unlink(missing_ok=True)
    with _accessible_path(folder.postgres_data) as (data, descriptors):
        command = [str(programs / "postgres"), "-D", data]
        for name, value in {**_SETTINGS, "unix_socket_directories": str(socket_dir)}.items():
            command += ["-c", f"{name}={value}"]
        return start_process(
            "PostgreSQL",
            command,
            log=folder.log("postgres"),
            socket=socket_dir / ".s.PGSQL.5432",
            end_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for the clients
            account=account,
            lock=lock,
            cwd=Path("/"),
            keep=descriptors,
        )


def wait_ready(server: ServerProcess, timeout: float) -> None:
    """Wait until the server accepts connections, and create the database if it does not exist.

    Args:
        server: The server.
        timeout: Seconds to wait.

    Raises:
        ServerError: The server ended, or is not ready after the timeout.
    """
    asyncio.run(_wait_ready(server, timeout))


def url(socket_dir: Path, database: str = DATABASE) -> str:
    """Return the URL of a database, for libpq and asyncpg."""
    user = quote(Account.own().name, safe="")
    return f"postgresql://{user}@/{database}?host={quote(str(socket_dir))}&port=5432"


async def _wait_ready(server: ServerProcess, timeout: float) -> None:
    maintenance = url(server.socket.parent, "postgres")
    deadline = time.monotonic() + timeout
    while server.alive() and time.monotonic() < deadline:
        try:
            if not await databases.exists(maintenance, DATABASE):
                await databases.create(maintenance, DATABASE)
        except (OSError, asyncpg.CannotConnectNowError):  # starting or recovering
            await asyncio.sleep(_POLL_INTERVAL)
        else:
            return
    raise server.failure()


def _initialize(folder: Folder, programs: Path, account: Account) -> None:
    """Initialize the data in a draft folder, and rename the folder once it is complete."""
    draft = folder.postgres_data.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        if account.uid != os.geteuid():
            os.chown(draft, account.uid, account.gid)
        log = folder.log("initdb")
        with _accessible_path(draft) as (data, descriptors), log.open("wb") as output:
            initdb = subprocess.run(  # noqa: S603  # our own command
                [
                    str(programs / "initdb"),
                    *("--pgdata", data, "--username", Account.own().name, "--no-instructions"),
                    # peer: only the user of that name connects, even if the server runs as nobody.
                    *("--auth-local", "peer", "--auth-host", "reject"),
                    *("--encoding", "UTF8", "--locale", "C"),
                    *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={},
                pass_fds=descriptors,
                check=False,
                **as_account(account),
            )
        if initdb.returncode != 0:
            raise ServerError(
                f"the embedded PostgreSQL cannot initialize {folder.path}: {last_error(log)}"
            )
        draft.rename(folder.postgres_data)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _accessible_path(data: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield a path to `data` for a child process, and the descriptors that it must inherit.

    A path through a descriptor works even if the child's user cannot enter the parent folders
    (such as root's home, for PostgreSQL as nobody), and if the path is longer than PostgreSQL's
    limit of 1,023 bytes.
    """
    if sys.platform != "linux" or not Path("/proc/self/fd").is_dir():
        yield str(data), []
        return
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", [descriptor]
    finally:
        os.close(descriptor)
