"""The embedded PostgreSQL: durable, on a Unix socket only, open to this user alone."""

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
_POLL: Final = 0.02
_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # compiling costs more than these short queries take
    # Nobody replicates it, and this way COPY and CREATE DATABASE write far less.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "log_checkpoints": "off",
}


def start(
    folder: Folder, programs: Path, account: Account, socket_dir: Path, lock: int
) -> ServerProcess:
    """Starts it with the data of the folder, made if need be; `wait_ready` tells when it answers.

    programs: where `initdb` and `postgres` are.

    Only call it while holding `servers.lock`: then nobody works in the data, whatever a
    `postmaster.pid` says that a killed server or a restarted machine left behind.
    """
    if not folder.postgres_data.exists():
        _initialise(folder, programs, account)
    (folder.postgres_data / "postmaster.pid").unlink(missing_ok=True)
    with _reachable(folder.postgres_data) as (data, keep):
        command = [str(programs / "postgres"), "-D", data]
        for name, value in {**_SETTINGS, "unix_socket_directories": str(socket_dir)}.items():
            command += ["-c", f"{name}={value}"]
        return start_process(
            "PostgreSQL",
            command,
            log=folder.log("postgres"),
            socket=socket_dir / ".s.PGSQL.5432",
            end_signal=signal.SIGINT,  # "fast": SIGTERM would wait for the clients
            account=account,
            lock=lock,
            cwd=Path("/"),
            keep=keep,
        )


def wait_ready(server: ServerProcess, timeout: float) -> None:
    """Returns when it answers and the database exists; ServerError if it ends or takes too long."""
    asyncio.run(_wait_ready(server, timeout))


def url(socket_dir: Path, database: str = DATABASE) -> str:
    """As libpq and asyncpg read it."""
    user = quote(Account.own().name, safe="")
    return f"postgresql://{user}@/{database}?host={quote(str(socket_dir))}&port=5432"


async def _wait_ready(server: ServerProcess, timeout: float) -> None:
    maintenance = url(server.socket.parent, "postgres")
    deadline = time.monotonic() + timeout
    while server.alive() and time.monotonic() < deadline:
        try:
            if not await databases.exists(maintenance, DATABASE):
                await databases.create(maintenance, DATABASE)
        except (OSError, asyncpg.CannotConnectNowError):  # not there yet, or recovering
            await asyncio.sleep(_POLL)
        else:
            return
    raise server.failure()


def _initialise(folder: Folder, programs: Path, account: Account) -> None:
    """Makes the data aside and moves it into place when it is whole."""
    draft = folder.postgres_data.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        if account.uid != os.geteuid():
            os.chown(draft, account.uid, account.gid)
        log = folder.log("initdb")
        with _reachable(draft) as (data, keep), log.open("wb") as output:
            done = subprocess.run(  # noqa: S603  # our own command
                [
                    str(programs / "initdb"),
                    *("--pgdata", data, "--username", Account.own().name, "--no-instructions"),
                    # Peer: only the user of that name comes in, though nobody's folder holds it.
                    *("--auth-local", "peer", "--auth-host", "reject"),
                    *("--encoding", "UTF8", "--locale", "C"),
                    *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={},
                pass_fds=keep,
                check=False,
                **as_account(account),
            )
        if done.returncode != 0:
            raise ServerError(
                f"the embedded PostgreSQL cannot make its data in {folder.path}: {last_error(log)}"
            )
        draft.rename(folder.postgres_data)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _reachable(data: Path) -> Iterator[tuple[str, list[int]]]:
    """A path by which a child reaches `data`, and the descriptors that it needs for it.

    An inherited descriptor leads there even where the child's user may not pass the folders
    above (root's home, for PostgreSQL as nobody), and where the path is longer than PostgreSQL
    can take (1,023 bytes).
    """
    if sys.platform != "linux" or not Path("/proc/self/fd").is_dir():
        yield str(data), []
        return
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", [descriptor]
    finally:
        os.close(descriptor)
