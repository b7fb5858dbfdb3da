"""The embedded Redis (Valkey): durable, on a Unix socket only."""

import signal
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

import redis

from jobs.embedded import binaries
from jobs.embedded.folder import Folder
from jobs.embedded.process import Account, Running
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


def start(folder: Folder, sockets: Path, lock: int) -> Running:
    """Starts it with the data of the folder; `wait_ready` tells when it answers."""
    folder.redis_data.mkdir(mode=0o700, exist_ok=True)
    # Data and log by relative names: a path may hold characters that its parser takes apart.
    options = {**_OPTIONS, "unixsocket": str(socket(sockets))}
    command = [str(binaries.redis_server())]
    for name, value in options.items():
        command += [f"--{name}", value]
    return start_process(
        "Redis",
        command,
        log=folder.log("redis"),
        end_signal=signal.SIGTERM,
        account=Account.own(),
        lock=lock,
        cwd=folder.redis_data,
    )


def wait_ready(server: Running, sockets: Path, timeout: float) -> None:
    """Returns when it answers, all data loaded; ServerError if it ends or takes too long."""
    deadline = time.monotonic() + timeout
    with redis.Redis(unix_socket_path=str(socket(sockets))) as client:
        while server.alive() and time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:  # not there yet, or loading
                time.sleep(_POLL)
            else:
                return
    raise server.failure()


def socket(sockets: Path) -> Path:
    return sockets / "redis.sock"


def url(sockets: Path) -> str:
    return f"unix://{quote(str(socket(sockets)))}?db=0"
