"""Pytest plugin: separate databases per test, on one set of servers per run."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from redis.asyncio import Redis

from jobs.embedded import Servers
from jobs.testing.waiting import wait_until
from tests.integration.embedded.embedded_users import PACKAGES, ROOT, processes

TEST_MODULE: Final = """
import os
from pathlib import Path

import asyncpg
import pytest
import redis

RECORDS = Path(os.environ["RECORDS"])


@pytest.fixture(scope="session")
def database_template_migrate():
    return migrate


def migrate(url):
    import asyncio

    async def create():
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE migrated (n int)")
        await connection.close()

    asyncio.run(create())
    with (RECORDS / "migrations").open("a") as file:
        file.write("once ")


@pytest.mark.parametrize("number", range(6))
async def test_both(embedded_servers, redis_url, database_url, number):
    (RECORDS / "home").write_text(embedded_servers.database_url)
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("key", "value")
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM migrated") == 0
    await connection.execute("INSERT INTO migrated VALUES (1)")
    await connection.close()
    with (RECORDS / f"urls-{os.getpid()}").open("a") as file:
        file.write(f"{redis_url}\\\\n{database_url}\\\\n")
""".replace("\\\\n", "\\n")


async def test_each_test_gets_an_empty_redis_database(
    redis_url: str, embedded_servers: Servers
) -> None:
    assert redis_url != embedded_servers.redis_url
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("key", "value")


async def test_each_test_gets_a_migrated_database(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    tables = await connection.fetchval(
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    )
    await connection.close()
    assert tables > 1


def run_tests(folder: Path, *options: str, **environment: str) -> set[str]:
    """Run a test module in a pytest of its own, and return the URLs that its tests had."""
    (folder / "test_users.py").write_text(TEST_MODULE)
    for stale in folder.glob("urls-*"):
        stale.unlink()
    flags = ["-p", "jobs.testing.servers", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    result = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, *flags, *options, str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{PACKAGES}",
            "RECORDS": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line for path in folder.glob("urls-*") for line in path.read_text().splitlines()]
    assert len(lines) == len(set(lines)) == 12
    return set(lines)


def server_of(folder: Path) -> str:
    return (folder / "home").read_text()


async def test_xdist_workers_share_servers_that_end_with_the_run(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    unset = {"REDIS_URL": "", "DATABASE_URL": "", "TMPDIR": str(temporary)}
    unset["PYTEST_DEBUG_TEMPROOT"] = str(tmp_path)
    await asyncio.to_thread(run_tests, tmp_path, "-n", "2", **unset)
    assert (tmp_path / "migrations").read_text() == "once "
    await wait_until(lambda: not processes(temporary))
    assert not list(temporary.iterdir())


async def test_servers_from_the_environment_are_used_and_left_clean(
    tmp_path: Path, embedded_servers: Servers
) -> None:
    environment = {
        "REDIS_URL": embedded_servers.redis_url,
        "DATABASE_URL": embedded_servers.database_url,
    }
    urls = await asyncio.to_thread(run_tests, tmp_path, "-p", "no:xdist", **environment)
    assert server_of(tmp_path) == embedded_servers.database_url
    connection = await asyncpg.connect(embedded_servers.database_url)
    remaining = {
        row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")
    }
    await connection.close()
    assert not remaining & {url.split("/")[3].split("?")[0] for url in urls}
    for url in urls:
        if url.startswith("unix:"):
            async with Redis.from_url(url) as client:
                assert await client.dbsize() == 0


@pytest.mark.parametrize("result", [0, "", None])
async def test_wait_until_times_out_with_the_source_of_the_condition(result: object) -> None:
    with pytest.raises(TimeoutError, match=r"still false after 0.05 s: .*lambda: result"):
        await wait_until(lambda: result, timeout=0.05)


async def test_wait_until_returns_the_result_of_the_condition() -> None:
    results: Iterator[object] = iter([None, [], "at last"])

    async def condition() -> object:
        return next(results)

    assert await wait_until(condition) == "at last"
    assert await wait_until(lambda: 3) == 3
