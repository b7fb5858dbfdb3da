"""The outbox: how fast a backlog drains, and what telling the relays costs.

    python benchmarks/outbox.py drain [--rows N] [--held]
    python benchmarks/outbox.py notify [--seconds S]

On embedded servers of its own, in a folder that is removed afterwards. `--held`: with an old
transaction open meanwhile, so that PostgreSQL may not remove what is deleted.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from jobs import embedded
from jobs.clock import SystemClock
from jobs.engine import create_pool
from jobs.store.postgres import migrate
from jobs.store.postgres.store import PostgresStore

STEP: Final = 100_000
TICK: Final = os.sysconf("SC_CLK_TCK")

FILL: Final = (
    "INSERT INTO outbox (id, function, args, kwargs) SELECT uuidv7(), 'default.ping', '[]', '{}' "
    "FROM generate_series(1, $1)"
)
STATE: Final = (
    "SELECT n_dead_tup, autovacuum_count, pg_table_size('outbox') + pg_indexes_size('outbox') "
    "FROM pg_stat_user_tables WHERE relname = 'outbox'"
)
BACKEND: Final = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'DELETE FROM outbox%' "
    "AND pid <> pg_backend_pid() ORDER BY state_change DESC LIMIT 1"
)


async def drain(servers: embedded.Servers, rows: int, *, held: bool) -> None:
    """Prints the rate for each hundred thousand rows, and the CPU a row, which a busy machine
    changes less: of this process, of Redis, and of the PostgreSQL process that serves it."""
    observer = await asyncpg.connect(servers.database_url)
    holder = await asyncpg.connect(servers.database_url)
    await observer.execute(FILL, rows)
    if held:
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holder.execute("SELECT count(*) FROM outbox")
    async with await create_pool(servers.redis_url) as pool:
        await pool.flushdb()
        store = await PostgresStore.open(
            servers.database_url, publish=pool.enqueue_many, clock=SystemClock(), pool_size=1
        )

        async def cpu() -> dict[str, float]:
            info = await pool.info("cpu")
            pid = await observer.fetchval(BACKEND)
            return {
                "relay": time.process_time(),
                "Redis": info["used_cpu_sys"] + info["used_cpu_user"],
                "PostgreSQL": _cpu_of(pid) if pid else 0.0,
            }

        done, mark = 0, 0
        began, used = time.perf_counter(), await cpu()
        while count := await store.relay(timedelta()):
            done += count
            if done - mark < STEP:
                continue
            took, now = time.perf_counter() - began, await cpu()
            each = ", ".join(
                f"{name} {(now[name] - used[name]) / (done - mark) * 1e6:.1f}" for name in now
            )
            dead, vacuums, size = await observer.fetchrow(STATE) or (0, 0, 0)
            print(
                f"{done:>9,} {(done - mark) / took:>8,.0f}/s   µs CPU a row: {each}   "
                f"{dead:,} dead, {vacuums} vacuums, {size / 1e6:.0f} MB",
                flush=True,
            )
            mark = done
            began, used = time.perf_counter(), await cpu()
        assert await pool.zcard("default") == rows
        assert await store.outbox_size() == 0
        began = time.perf_counter()
        for _ in range(10):
            await store.relay(timedelta())
        print(f"a look at all when there is nothing: {(time.perf_counter() - began) * 100:.1f} ms")
        await store.close()
    await holder.close()
    await observer.close()


def _cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used; 0 where it cannot be seen."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def notify(servers: embedded.Servers, seconds: float) -> None:
    """Prints the commits a second of 1, 4 and 16 connections, each inserting one row, where no
    transaction notifies, one a second does (as the outbox has it), or each does; twice, in turn."""
    listener = await asyncpg.connect(servers.database_url)
    await listener.execute("CREATE TABLE noted (id bigserial PRIMARY KEY, text text)")
    await listener.add_listener("bench", lambda *_: None)
    every: dict[str, float] = {"never": float("inf"), "once a second": 1.0, "each": 0.0}
    for _ in range(2):
        for connections in (1, 4, 16):
            for name, pause in every.items():
                rate = await _commits(servers.database_url, connections, pause, seconds)
                print(f"{connections:>3} connections, notifying {name:<14} {rate:>7,.0f}/s")
    await listener.close()


async def _commits(url: str, connections: int, pause: float, seconds: float) -> float:
    open_ = [await asyncpg.connect(url) for _ in range(connections)]
    last, done = time.monotonic(), 0
    end = last + seconds

    async def commit(connection: Any) -> None:
        nonlocal last, done
        while (now := time.monotonic()) < end:
            notifies = now - last >= pause
            async with connection.transaction():
                await connection.execute("INSERT INTO noted (text) VALUES ('x')")
                if notifies:
                    await connection.execute("SELECT pg_notify('bench', '')")
            last = now if notifies else last
            done += 1

    began = time.monotonic()
    await asyncio.gather(*map(commit, open_))
    took = time.monotonic() - began
    for connection in open_:
        await connection.close()
    return done / took


@asynccontextmanager
async def own_servers() -> AsyncIterator[embedded.Servers]:
    """Embedded servers with an empty, migrated database."""
    home = Path(tempfile.mkdtemp(prefix="ringline-bench-"))
    try:
        servers = await asyncio.to_thread(embedded.use, home)
        await migrate.upgrade_async(servers.database_url)
        yield servers
    finally:
        await asyncio.to_thread(embedded.down, home)
        shutil.rmtree(home)


async def run(part: Callable[[embedded.Servers], Any]) -> None:
    async with own_servers() as servers:
        await part(servers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    draining = parts.add_parser("drain")
    draining.add_argument("--rows", type=int, default=1_000_000)
    draining.add_argument("--held", action="store_true")
    notifying = parts.add_parser("notify")
    notifying.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    if given.part == "drain":
        asyncio.run(run(lambda servers: drain(servers, given.rows, held=given.held)))
    else:
        asyncio.run(run(lambda servers: notify(servers, given.seconds)))


if __name__ == "__main__":
    main()
