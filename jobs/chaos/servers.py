"""Temporary Redis and PostgreSQL servers that can be killed and restarted."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jobs.embedded import binaries, flock, postgres_server, redis_server, sockets
from jobs.embedded.folder import Folder
from jobs.embedded.process import Account, ServerProcess, stop
from jobs.errors import ServerError

READY_TIMEOUT: Final = 60.0
"""Seconds that a server may take to accept connections."""


@dataclass(eq=False)
class TemporaryServers:
    """The two servers, made by `temporary_servers`.

    Attributes:
        folder: Data folder.
        redis_sockets: Folder of the Redis socket.
        postgres_sockets: Folder of the PostgreSQL socket.
    """

    folder: Folder
    redis_sockets: Path
    postgres_sockets: Path
    _programs: Path
    _account: Account
    _lock: int
    _running: dict[str, ServerProcess]
    _redis_restarts: asyncio.Lock = field(default_factory=asyncio.Lock)
    _postgres_restarts: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def redis_url(self) -> str:
        """URL of the Redis server."""
        return redis_server.url(self.redis_sockets)

    @property
    def database_url(self) -> str:
        """URL of the PostgreSQL server."""
        return postgres_server.url(self.postgres_sockets)

    @property
    def redis_socket(self) -> Path:
        """Socket of the Redis server."""
        return self._running["redis"].socket

    @property
    def postgres_socket(self) -> Path:
        """Socket of the PostgreSQL server."""
        return self._running["postgres"].socket

    @property
    def aof_folder(self) -> Path:
        """Folder of Redis's append-only files, which hold every write."""
        return self.folder.redis_data / "appendonlydir"

    async def start(self) -> None:
        """Start both servers; return when they accept connections."""
        self._start_redis()
        self._start_postgres()
        await self._redis_ready()
        await self._postgres_ready()

    async def restart_redis(self, downtime: float) -> None:
        """Kill Redis and start it again; return when it accepts connections.

        Args:
            downtime: Seconds between the end and the start.
        """
        async with self._redis_restarts:
            await self._end("redis", signal.SIGKILL)
            await asyncio.sleep(downtime)
            self._start_redis()
            await self._redis_ready()

    async def restart_postgres(self, downtime: float) -> None:
        """Shut PostgreSQL down at once and start it again; return when it accepts connections.

        Connections break, and the server has to recover, as after a crash.

        Args:
            downtime: Seconds between the end and the start.
        """
        async with self._postgres_restarts:
            await self._end("postgres", signal.SIGQUIT)
            await asyncio.sleep(downtime)
            self._start_postgres()
            await self._postgres_ready()

    def _start_redis(self) -> None:
        self._running["redis"] = redis_server.start(
            self.folder,
            self.redis_sockets,
            self._lock,
            appendfsync="always",  # no acknowledged write is lost in a crash
            auto_aof_rewrite_percentage="0",  # the file keeps the history of all jobs
        )

    def _start_postgres(self) -> None:
        self._running["postgres"] = postgres_server.start(
            self.folder, self._programs, self._account, self.postgres_sockets, self._lock
        )

    async def _end(self, name: str, signum: signal.Signals) -> None:
        server = self._running[name]
        server.process.send_signal(signum)
        await asyncio.to_thread(server.process.wait)

    async def _redis_ready(self) -> None:
        await asyncio.to_thread(redis_server.wait_ready, self._running["redis"], READY_TIMEOUT)

    async def _postgres_ready(self) -> None:
        server = self._running["postgres"]
        await asyncio.to_thread(postgres_server.wait_ready, server, READY_TIMEOUT)


@asynccontextmanager
async def temporary_servers(home: Path) -> AsyncIterator[TemporaryServers]:
    """Run a Redis and a PostgreSQL server while the block runs.

    Args:
        home: Folder for the servers' data.

    Returns:
        A context manager with the servers.

    Raises:
        ServerError: Servers of this folder are running already, or a server does not start.
    """
    folder = Folder.create(home)
    own, unprivileged = Account.own(), Account.unprivileged()
    name = sockets.name_for(folder.path)
    with ExitStack() as stack:
        for_redis = for_postgres = stack.enter_context(sockets.private_folder(name, own))
        if unprivileged != own:
            for_postgres = stack.enter_context(sockets.private_folder(f"{name}-pg", unprivileged))
        programs = stack.enter_context(binaries.postgres_programs(unprivileged, name))
        lock = flock.acquire(folder.servers_lock)
        if lock is None:
            raise ServerError(f"servers of {folder.path} are running already")
        stack.callback(os.close, lock)
        running: dict[str, ServerProcess] = {}
        stack.callback(lambda: stop(running.values()))
        servers = TemporaryServers(
            folder, for_redis, for_postgres, programs, unprivileged, lock, running
        )
        await servers.start()
        yield servers
