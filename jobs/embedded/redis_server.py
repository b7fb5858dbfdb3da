"""The embedded Redis (Valkey): durable, on a Unix socket only."""

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

_POLL: Final = 0.02
_OPTIONS: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "databases": "512",  # one for each test: arq's job keys do not contain the queue's name
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",  # the append-only file holds everything
    "maxmemory-policy": "noeviction",
    "always-show-logo": "no",
}


def start(folder: Folder, socket_dir: Path, lock: int, **settings: str) -> ServerProcess:
    """Starts it with the data of the folder; `wait_ready` tells when it answers.

    settings: of Redis, where they differ from the usual ones, with `_` for `-`.
    """
    folder.redis_data.mkdir(mode=0o700, exist_ok=True)
    # Data and log by relative names: a path may hold characters that its parser takes apart.
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
    """Returns when it answers, all data loaded; ServerError if it ends or takes too long."""
    deadline = time.monotonic() + timeout
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        while server.alive() and time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:  # not there yet, or loading
                time.sleep(_POLL)
            else:
                return
    raise server.failure()


def url(socket_dir: Path) -> str:
    """As redis-py and arq read it."""
    return f"unix://{quote(str(_socket(socket_dir)))}?db=0"


def _socket(socket_dir: Path) -> Path:
    return socket_dir / "redis.sock"
