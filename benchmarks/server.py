"""The Redis that all contestants share: the embedded Valkey, on a port of the loopback."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Final

import psutil
import redis

from jobs.embedded import binaries

_PATIENCE: Final = 10.0


class Server:
    """url: its database 0, which is emptied before each run."""

    def __init__(self, process: psutil.Process, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._process = process
        self._client = redis.Redis(port=port)

    def cpu(self) -> float:
        """Seconds of CPU used so far, all threads."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def commands(self) -> int:
        """Commands processed so far, those inside of scripts included, as Redis counts them."""
        return int(self._info("stats")["total_commands_processed"])

    def version(self) -> str:
        about = self._info("server")
        return f"{about.get('server_name', 'redis')} {about.get('valkey_version', '')}".strip()

    def _info(self, section: str) -> dict[str, Any]:
        found = self._client.info(section)
        assert isinstance(found, dict)
        return found

    def empty(self) -> None:
        self._client.flushall()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline or not self._process.is_running():
                    raise
                time.sleep(0.02)
            else:
                return


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server with nothing on disk, while the block runs."""
    port = free_port()
    command = [str(binaries.redis_server()), "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory(prefix="rl-bench-") as folder:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            server = Server(psutil.Process(process.pid), port)
            server.wait_until_ready()
            yield server
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
