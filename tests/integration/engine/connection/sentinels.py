"""Three Sentinels, a master and a replica for tests, protected by passwords."""

import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import mkdtemp
from typing import Any, Final
from urllib.parse import quote, urlencode

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.embedded import binaries
from jobs.testing.waiting import wait_until

SERVICE = "queue"

_SERVER_OPTIONS = {
    "bind": "127.0.0.1",
    "save": "",
    "appendonly": "no",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
}
_SENTINEL_CONFIG = """\
port {port}
bind 127.0.0.1
requirepass "{own_password}"
sentinel sentinel-pass "{own_password}"
sentinel monitor {service} 127.0.0.1 {master} {quorum}
sentinel auth-pass {service} "{password}"
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 5000
"""


class Trio:
    """Three Sentinels that monitor a master and a replica.

    Attributes:
        servers: Server processes by port. The first one starts as the master.
        password: Password of the servers.
        sentinel_password: Password of the Sentinels.
    """

    password: Final = "for+redis"  # noqa: S105 - password of test servers

    def __init__(self, sentinel_password: str = "") -> None:
        self.sentinel_password = sentinel_password
        self.folder = Path(mkdtemp(prefix="rl-"))
        master, replica, *self.sentinels = free_ports(5)
        self.servers = {
            master: self._start(master, {}),
            replica: self._start(replica, {"replicaof": f"127.0.0.1 {master}"}),
        }
        self._master, self._replica = master, replica
        self._watchers: list[Popen[bytes]] = []

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.sentinels)

    @property
    def url(self) -> str:
        """Return the URL for producers and workers."""
        query = urlencode({"sentinel_password": self.sentinel_password})
        return f"redis+sentinel://:{quote(self.password)}@{self.hosts}/{SERVICE}/1?{query}"

    async def master(self) -> int:
        """Return the master's port according to the first Sentinel."""
        (state, *_) = await self._states()
        return int(state["port"])

    async def ready(self) -> None:
        """Wait until each Sentinel knows the other Sentinels and the replica."""
        await wait_until(self._is_replicated, timeout=20)
        # Start the Sentinels late: they look for new replicas only every ten seconds.
        self._watchers = [
            watch(self.folder, port, self._master, 2, self.password, self.sentinel_password)
            for port in self.sentinels
        ]
        await wait_until(self._is_complete, timeout=20)

    def kill(self, port: int) -> None:
        self.servers[port].kill()
        self.servers[port].wait()

    def end(self) -> None:
        for process in (*self._watchers, *self.servers.values()):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)

    async def _is_replicated(self) -> bool:
        try:
            async with Redis(port=self._replica, password=self.password) as replica:
                return bool((await replica.info("replication"))["master_link_status"] == "up")
        except RedisError:
            return False

    async def _is_complete(self) -> bool:
        try:
            states = await self._states()
        except RedisError:
            return False
        return all(
            (state["num-other-sentinels"], state["num-slaves"], state["flags"]) == (2, 1, "master")
            for state in states
        )

    async def _states(self) -> list[Mapping[str, Any]]:
        states = []
        for port in self.sentinels:
            async with Redis(port=port, password=self.sentinel_password) as sentinel:
                states.append(await sentinel.sentinel_master(SERVICE))  # type: ignore[no-untyped-call]
        return states

    def _start(self, port: int, options: Mapping[str, str]) -> Popen[bytes]:
        words = [
            word
            for name, value in {
                "port": str(port),
                "requirepass": self.password,
                "masterauth": self.password,
                **_SERVER_OPTIONS,
                **options,
            }.items()
            for word in (f"--{name}", *value.split(" "))
        ]
        return _run(self.folder, *words)


def watch(
    folder: Path, port: int, master: int, quorum: int, password: str = "", own_password: str = ""
) -> Popen[bytes]:
    """Start a Sentinel on `port`. `password` is the servers', `own_password` the Sentinel's."""
    file = folder / f"sentinel-{port}.conf"
    file.write_text(
        _SENTINEL_CONFIG.format(
            port=port,
            own_password=own_password,
            service=SERVICE,
            master=master,
            quorum=quorum,
            password=password,
        )
    )
    return _run(folder, str(file), "--sentinel")


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:  # hold each port until all are known, so that the ports differ
        listeners = [
            held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


def _run(folder: Path, *words: str) -> Popen[bytes]:
    command = [str(binaries.redis_server()), *words]
    return Popen(command, cwd=folder, stdout=DEVNULL)  # noqa: S603 - fixed command


@asynccontextmanager
async def sentinel_trio(sentinel_password: str = "") -> AsyncIterator[Trio]:
    trio = Trio(sentinel_password)
    try:
        await trio.ready()
        yield trio
    finally:
        trio.end()
