"""Embedded Redis (Valkey): durable, on a Unix socket only."""

import signal
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

from jobs.embedded import binaries
from jobs.embedded.folder import Folder
from jobs.embedded.process import Account, ServerProcess
from jobs.embedded.process import start as start_process

_POLL_INTERVAL: Final = 0.02
_OPTIONS: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "databases": "512",  # one per test: arq's job keys do not contain the queue's name
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",  # the append-only file holds all data
    "maxmemory-policy": "noeviction",
    "always-show-logo": "no",
}


def start(folder: Folder, socket_dir: Path, lock: int, **settings: str) -> ServerProcess:
    """Start Redis on the folder's data; see `wait_ready`.

    Args:
        folder: Folder of the data and the log.
        socket_dir: Folder for the socket.
        lock: Descriptor of `servers.lock`, which the server inherits.
        settings: Redis settings that override the defaults, with `_` for `-`.

    Raises:
        ServerError: The program is missing or cannot be started.
    """
    folder.redis_data.mkdir(mode=0o700, exist_ok=True)
    # No absolute path of the folder: Redis splits options at some characters a path may hold.
    options = {**_OPTIONS, "unixsocket": str(_socket(socket_dir))}
    options |= {name.replace("_", "-"): value for name, value in settings.items()}
    command = [str(binaries.redis_server())]
    for name, value in options.items():
        command += [f"--{name}", value]
    return start_process(
        "Redis",
        command,
        log=folder.log("redis"),
        socket=_socket(socket_dir),
        end_signal=signal.SIGTERM,
        account=Account.own(),
        lock=lock,
        cwd=folder.redis_data,
    )


def wait_ready(server: ServerProcess, timeout: float) -> None:
    """Wait until the server answers with all data loaded.

    Args:
        server: The server.
        timeout: Seconds to wait.

    Raises:
        ServerError: The server ended, or is not ready after the timeout.
    """
    deadline = time.monotonic() + timeout
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        while server.alive() and time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:  # starting or loading
                time.sleep(_POLL_INTERVAL)
            else:
                return
    raise server.failure()


def url(socket_dir: Path) -> str:
    """Return the URL of the server, for redis-py and arq."""
    return f"unix://{quote(str(_socket(socket_dir)))}?db=0"


def _socket(socket_dir: Path) -> Path:
    return socket_dir / "redis.sock"
