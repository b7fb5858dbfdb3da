"""A Redis and a PostgreSQL of the run's own, which may be killed and started again."""

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


@dataclass(eq=False)
class OwnServers:
    """The two servers, made by `own_servers`."""

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
        return redis_server.url(self.redis_sockets)

    @property
    def database_url(self) -> str:
        return postgres_server.url(self.postgres_sockets)

    @property
    def redis_socket(self) -> Path:
        return self._running["redis"].socket

    @property
    def postgres_socket(self) -> Path:
        return self._running["postgres"].socket

    @property
    def journal(self) -> Path:
        """The folder of all that was ever written to Redis."""
        return self.folder.redis_data / "appendonlydir"

    async def start(self) -> None:
        """Starts both; returns when they answer."""
        self._start_redis()
        self._start_postgres()
        await self._redis_ready()
        await self._postgres_ready()

    async def restart_redis(self, down: float) -> None:
        """Kills it, and starts it again after `down` seconds; returns when it answers."""
        async with self._redis_restarts:
            await self._end("redis", signal.SIGKILL)
            await asyncio.sleep(down)
            self._start_redis()
            await self._redis_ready()

    async def restart_postgres(self, down: float) -> None:
        """As by an immediate shutdown: connections are broken, and it has to recover."""
        async with self._postgres_restarts:
            await self._end("postgres", signal.SIGQUIT)
            await asyncio.sleep(down)
            self._start_postgres()
            await self._postgres_ready()

    def _start_redis(self) -> None:
        self._running["redis"] = redis_server.start(
            self.folder,
            self.redis_sockets,
            self._lock,
            appendfsync="always",  # what it has answered is in the file, however it ends
            auto_aof_rewrite_percentage="0",  # so that the file is a journal of all jobs
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
async def own_servers(home: Path) -> AsyncIterator[OwnServers]:
    """Servers with their data in the folder `home`, stopped after the block."""
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
        servers = OwnServers(folder, for_redis, for_postgres, programs, unprivileged, lock, running)
        await servers.start()
        yield servers
