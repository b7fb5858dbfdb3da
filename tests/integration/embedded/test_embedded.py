"""Embedded servers in normal operation: started, shared, kept up and stopped."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from arq.connections import RedisSettings
from click.testing import CliRunner
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from jobs import embedded
from jobs.cli.commands import servers as commands
from jobs.embedded import Servers
from jobs.embedded.holder import GRACE
from jobs.embedded.resolve import database_url, redis_url
from jobs.errors import ServerError
from jobs.settings import Settings, get_settings
from jobs.testing.waiting import wait_until
from tests.integration.embedded.embedded_users import processes, using


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ".jobs"
    yield folder
    embedded.down(folder)
    assert not processes(folder)


async def write(servers: Servers, value: str) -> None:
    async with Redis.from_url(servers.redis_url) as client:
        await client.set("kept", value)
    connection = await asyncpg.connect(servers.database_url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", value)
    await connection.close()


async def read(servers: Servers) -> tuple[str, str]:
    async with Redis.from_url(servers.redis_url, decode_responses=True) as client:
        in_redis: str = await client.get("kept")
    connection = await asyncpg.connect(servers.database_url)
    in_postgres: str = await connection.fetchval("SELECT value FROM kept")
    await connection.close()
    return in_redis, in_postgres


async def test_servers_are_a_real_redis_and_postgresql(home: Path) -> None:
    servers = embedded.use(home)

    assert RedisSettings.from_dsn(servers.redis_url).unix_socket_path
    async with Redis.from_url(servers.redis_url) as client:
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
        assert (await client.config_get("databases"))["databases"] == "512"
        assert (await client.config_get("port"))["port"] == "0"
    engine = create_async_engine(servers.database_url.replace("://", "+asyncpg://", 1))
    async with engine.connect() as connection:
        names = ("server_encoding", "timezone", "fsync", "synchronous_commit", "listen_addresses")
        values = [await connection.scalar(text(f"SHOW {name}")) for name in names]
        assert values == ["UTF8", "UTC", "on", "on", ""]
        assert await connection.scalar(text("SELECT current_database()")) == "ringline"
        assert await connection.scalar(text("SELECT upper('ä')")) == "Ä"
        assert await connection.scalar(text("SELECT 'B' < 'a'")) is True  # by code point
        version = await connection.scalar(text("SHOW server_version_num"))
    await engine.dispose()
    assert int(version or 0) >= 180000


def test_sockets_are_private(home: Path) -> None:
    servers = embedded.use(home)
    for url, socket in ((servers.redis_url, ""), (servers.database_url, "/.s.PGSQL.5432")):
        path = Path(url.split("host=")[-1].split("&")[0].removeprefix("unix://").split("?")[0])
        folder = path if socket else path.parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(f"{path}{socket}") < 104


def test_only_the_owner_can_access_servers_and_data(home: Path) -> None:
    embedded.use(home)
    assert home.stat().st_mode & 0o777 == 0o700
    for path in home.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    servers = processes(home)
    assert {"valkey-server", "postgres"} <= {server.name() for server in servers}
    assert not [server for server in servers if server.net_connections("inet")]
    for server in servers:
        for connection in server.net_connections("unix"):
            if connection.laddr:
                assert Path(str(connection.laddr)).stat().st_mode & 0o077 == 0
    rules = (home / "postgres" / "pg_hba.conf").read_text().splitlines()
    entries = [rule.split() for rule in rules if rule and not rule.startswith("#")]
    assert {(entry[0], entry[-1]) for entry in entries} == {("local", "peer"), ("host", "reject")}


@pytest.mark.parametrize("call", [embedded.use, embedded.find, embedded.down])
def test_folder_that_others_may_write_to_is_rejected(
    home: Path, call: Callable[[Path], object]
) -> None:
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(ServerError, match=f"other users may write to {home}"):
        call(home)
    home.chmod(0o700)


def test_processes_that_start_together_share_the_servers(home: Path) -> None:
    with using(home) as first, using(home) as second, using(home) as third:
        assert first.servers() == second.servers() == third.servers() == embedded.find(home)
    assert len(processes(home, "valkey")) == 1


async def test_servers_stop_after_the_last_user_has_left(home: Path) -> None:
    with using(home) as first, using(home) as second:
        first.servers()
        first.leave()
        second.servers()
        left_at = time.monotonic()
        second.leave()
        await wait_until(lambda: not processes(home), timeout=GRACE + 10)
    assert time.monotonic() - left_at >= GRACE / 2
    assert embedded.find(home) is None


def test_find_starts_no_servers(home: Path) -> None:
    assert embedded.find(home) is None
    assert not home.exists()
    assert not embedded.down(home)


async def test_data_survives_a_stop(home: Path) -> None:
    await write(embedded.use(home), "value")
    assert embedded.down(home)
    assert not processes(home)
    assert await read(embedded.use(home)) == ("value", "value")


async def test_up_keeps_the_servers_up_until_down(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with using(home) as user:  # another process, so that this one does not keep them up
        servers = user.servers()
        (home / "pinned").touch()
    before = processes(home)
    with pytest.raises(TimeoutError):
        await wait_until(lambda: not processes(home), timeout=GRACE + 1)
    assert processes(home) == before
    assert embedded.find(home) == servers == embedded.up(home)
    assert embedded.down(home)
    assert not embedded.down(home)


def test_commands_print_the_servers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGLINE_HOME", str(home))
    get_settings.cache_clear()
    run = CliRunner().invoke
    try:
        assert str(home) in run(commands.up).output
        servers = embedded.find(home)
        assert servers is not None
        exported = run(commands.up, ["--export"]).output.splitlines()
        assert exported == [
            f"export REDIS_URL='{servers.redis_url}'",
            f"export DATABASE_URL='{servers.database_url}'",
        ]
        assert "have stopped" in run(commands.down).output
        assert "no servers were up" in run(commands.down).output
    finally:
        get_settings.cache_clear()


def test_urls_of_the_settings_take_precedence(home: Path) -> None:
    settings = Settings(
        redis_url="redis://r/1", database_url="postgresql://d/x", ringline_home=home
    )
    assert redis_url(settings, start=True) == "redis://r/1"
    assert database_url(settings, start=False) == "postgresql://d/x"
    assert not home.exists()


def test_error_without_urls_and_servers_names_the_command(home: Path) -> None:
    settings = Settings(redis_url=None, database_url=None, ringline_home=home)
    with pytest.raises(ServerError, match=r"REDIS_URL is not set.*`ringline up`$"):
        redis_url(settings, start=False)
    started = database_url(settings, start=True)
    assert database_url(settings, start=False) == started
    assert redis_url(settings, start=False).startswith("unix://")
