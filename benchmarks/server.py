"""Redis server shared by all contestants: the embedded Valkey on a loopback port."""

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

_READY_TIMEOUT: Final = 10.0


class Server:
    """A running Redis server.

    Args:
        process: Process of the server.
        port: Its port on the loopback.

    Attributes:
        url: URL of database 0, which is flushed before each run.
    """

    def __init__(self, process: psutil.Process, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._process = process
        self._client = redis.Redis(port=port)

    def cpu(self) -> float:
        """Return the CPU seconds used so far by all threads."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def commands(self) -> int:
        """Return the number of commands processed so far, including commands inside scripts."""
        return int(self._info("stats")["total_commands_processed"])

    def version(self) -> str:
        """Return the name and version of the server."""
        info = self._info("server")
        return f"{info.get('server_name', 'redis')} {info.get('valkey_version', '')}".strip()

    def _info(self, section: str) -> dict[str, Any]:
        info = self._client.info(section)
        assert isinstance(info, dict)
        return info

    def flush(self) -> None:
        """Delete all keys."""
        self._client.flushall()

    def wait_until_ready(self) -> None:
        """Wait until the server responds.

        Raises:
            redis.ConnectionError: The server exited, or does not respond in time.
        """
        deadline = time.monotonic() + _READY_TIMEOUT
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
    """Run a server without persistence while the block runs.

    Returns:
        A context manager with the server.
    """
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
    """Return a free port on the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
