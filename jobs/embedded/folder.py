"""Folder of the embedded servers, `.jobs/`: its files and their meaning."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.embedded import flock
from jobs.errors import ServerError


@dataclass(frozen=True)
class Servers:
    """URLs of the two servers of a folder.

    Attributes:
        redis_url: For redis-py and arq, as `unix://…/redis.sock?db=0`.
        database_url: For libpq and asyncpg, as `postgresql://user@/ringline?host=…`.
    """

    redis_url: str
    database_url: str


@dataclass(frozen=True)
class Folder:
    """Files of one folder.

    Four locks coordinate its processes, each held while its owner lives. All users of the servers
    share `users.lock`. A process that starts or stops the servers holds `starting.lock`, the
    holder process `holder.lock`, and the servers `servers.lock`, which they inherit.

    Attributes:
        path: Absolute path of the folder.
    """

    path: Path

    @property
    def users_lock(self) -> Path:
        return self.path / "users.lock"

    @property
    def starting_lock(self) -> Path:
        return self.path / "starting.lock"

    @property
    def holder_lock(self) -> Path:
        return self.path / "holder.lock"

    @property
    def servers_lock(self) -> Path:
        return self.path / "servers.lock"

    @property
    def pinned(self) -> Path:
        """Marker file: while it exists, the servers stay up without users."""
        return self.path / "pinned"

    @property
    def redis_data(self) -> Path:
        return self.path / "redis"

    @property
    def postgres_data(self) -> Path:
        return self.path / "postgres"

    @property
    def _state(self) -> Path:
        return self.path / "servers.json"

    def log(self, name: str) -> Path:
        return self.path / f"{name}.log"

    @classmethod
    def at(cls, home: Path) -> "Folder":
        """Return the folder at `home`, which need not exist."""
        return cls(home.resolve())

    @classmethod
    def create(cls, home: Path) -> "Folder":
        """Return the folder at `home`, created if it does not exist.

        Raises:
            ServerError: The folder cannot be created, or other users control it.
        """
        folder = cls.at(home)
        with folder.os_errors_mapped():
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.check_private()
        return folder

    def check_private(self) -> None:
        """Check that only this user controls the folder.

        Raises:
            ServerError: Another user owns the folder or may write to it.
            OSError: The folder cannot be read.
        """
        status = self.path.stat()
        if status.st_uid != os.geteuid():
            raise ServerError(
                f"{self.path} belongs to another user (uid {status.st_uid}, this process runs as "
                f"uid {os.geteuid()}); run as that user, or set RINGLINE_HOME to your own folder"
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ServerError(
                f"other users may write to {self.path}; run `chmod go-w` on it, or set "
                "RINGLINE_HOME to another folder"
            )

    @contextmanager
    def os_errors_mapped(self) -> Iterator[None]:
        """Turn an OSError within the block into a ServerError, one line that names the folder."""
        try:
            yield
        except OSError as error:
            raise ServerError(
                f"the embedded servers cannot use the folder {self.path}: "
                f"{error.strerror or error}; set RINGLINE_HOME to a folder of your own, "
                "or REDIS_URL and DATABASE_URL to servers of your own"
            ) from error

    def servers(self) -> Servers | None:
        """Return the running servers, or None; ignores the state file of a dead holder process."""
        state = self._read_state()
        return Servers(state["redis_url"], state["database_url"]) if state else None

    def holder_pid(self) -> int | None:
        """Return the pid of the holder process if the servers are running."""
        state = self._read_state()
        return int(state["pid"]) if state else None

    def publish(self, servers: Servers) -> None:
        """Write the state file: the servers are running, and this process is their holder."""
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps({"pid": str(os.getpid()), **asdict(servers)}))
        draft.replace(self._state)

    def withdraw(self, pid: int) -> None:
        """Remove the state file if the holder process is `pid`."""
        if self.holder_pid() == pid:
            self.forget()

    def forget(self) -> None:
        """Remove the state file of a killed holder process."""
        self._state.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, str] | None:
        # The lock first: a holder process only starts after the last state file is removed.
        if not flock.is_held(self.holder_lock):
            return None
        try:
            state: dict[str, str] = json.loads(self._state.read_text())
        except FileNotFoundError:
            return None
        return state
