"""The folder of the embedded servers, `.jobs/`: its files, and what they mean."""

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
    """Where the servers of a folder listen."""

    redis_url: str
    """`unix://…/redis.sock?db=0`, as redis-py and arq read it."""
    database_url: str
    """`postgresql://user@/ringline?host=…`, as libpq and asyncpg read it."""


@dataclass(frozen=True)
class Folder:
    """The files of one folder.

    `users.lock` is shared by all processes that use the servers; `starting.lock` is held by the one
    that starts or stops them; `holder.lock` by the holder, and `servers.lock` by the servers
    themselves (they inherit it), for as long as they live.
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
        """While it is there, the servers stay up without users."""
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
        """The folder `home`, which need not exist."""
        return cls(home.resolve())

    @classmethod
    def create(cls, home: Path) -> "Folder":
        """The folder `home`, made if need be; ServerError where it is not ours to use."""
        folder = cls.at(home)
        with folder.errors_explained():
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.refuse_foreign()
        return folder

    def refuse_foreign(self) -> None:
        """Raises ServerError where others may say what the servers are, and OSError."""
        status = self.path.stat()
        if status.st_uid != os.geteuid():
            raise ServerError(
                f"{self.path} belongs to another user (uid {status.st_uid}, this process runs as "
                f"uid {os.geteuid()}); run as that user, or set JOBS_HOME to a folder of your own"
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ServerError(
                f"others may write into {self.path}; close it with `chmod go-w`, or set JOBS_HOME "
                "to another folder"
            )

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Raises ServerError, with one line that names the folder, for an OSError inside."""
        try:
            yield
        except OSError as error:
            raise ServerError(
                f"the embedded servers cannot use the folder {self.path}: "
                f"{error.strerror or error}; set JOBS_HOME to a folder of your own, "
                "or REDIS_URL and DATABASE_URL to servers of your own"
            ) from error

    def servers(self) -> Servers | None:
        """The servers that are up here now. (A state file without a living holder says nothing.)"""
        state = self._read_state()
        return Servers(state["redis_url"], state["database_url"]) if state else None

    def holder_pid(self) -> int | None:
        """The process to end, if the servers are up."""
        state = self._read_state()
        return int(state["pid"]) if state else None

    def publish(self, servers: Servers) -> None:
        """Says that the servers are up, held by this process."""
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps({"pid": str(os.getpid()), **asdict(servers)}))
        draft.replace(self._state)

    def withdraw(self, pid: int) -> None:
        """Says that the servers that `pid` held are no longer up; of others it says nothing."""
        if self.holder_pid() == pid:
            self.forget()

    def forget(self) -> None:
        """Removes what a killed holder said."""
        self._state.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, str] | None:
        # In this order: a new holder is only started after the state of the last one is gone.
        if not flock.is_held(self.holder_lock):
            return None
        try:
            state: dict[str, str] = json.loads(self._state.read_text())
        except FileNotFoundError:
            return None
        return state
