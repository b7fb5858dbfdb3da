"""Outbox benchmarks: relay rate of a backlog, and cost of notifying the relays.

    python benchmarks/outbox.py drain [--rows N] [--held]
    python benchmarks/outbox.py notify [--seconds S]

Runs on temporary embedded servers. `--held` keeps an old transaction open, so that PostgreSQL
cannot vacuum deleted rows.
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
"""Rows between two printed lines."""
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")

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
    """Relay a backlog; print the rate and the CPU per row after every `STEP` rows.

    The CPU covers this process, Redis, and the PostgreSQL backend of the relay. It varies less on
    a busy machine than the rate.

    Args:
        servers: Embedded servers with an empty database.
        rows: Number of outbox rows.
        held: Keep an old transaction open.
    """
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
        started, used = time.perf_counter(), await cpu()
        while count := await store.relay(timedelta()):
            done += count
            if done - mark < STEP:
                continue
            elapsed, now = time.perf_counter() - started, await cpu()
            each = ", ".join(
                f"{name} {(now[name] - used[name]) / (done - mark) * 1e6:.1f}" for name in now
            )
            dead, vacuums, size = await observer.fetchrow(STATE) or (0, 0, 0)
            print(
                f"{done:>9,} {(done - mark) / elapsed:>8,.0f}/s   CPU µs per row: {each}   "
                f"{dead:,} dead rows, {vacuums} vacuums, {size / 1e6:.0f} MB",
                flush=True,
            )
            mark = done
            started, used = time.perf_counter(), await cpu()
        assert await pool.zcard("default") == rows
        assert await store.outbox_size() == 0
        started = time.perf_counter()
        for _ in range(10):
            await store.relay(timedelta())
        print(f"relay of an empty outbox: {(time.perf_counter() - started) * 100:.1f} ms")
        await store.close()
    await holder.close()
    await observer.close()


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used; 0 if they cannot be read."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def notify(servers: embedded.Servers, seconds: float) -> None:
    """Print commits per second with no, one per second, and one per commit notifications.

    Each transaction inserts one row, over 1, 4 and 16 connections. The outbox notifies at most
    once per second. All combinations run twice.

    Args:
        servers: Embedded servers with an empty database.
        seconds: Length of each measurement.
    """
    listener = await asyncpg.connect(servers.database_url)
    await listener.execute("CREATE TABLE noted (id bigserial PRIMARY KEY, text text)")
    await listener.add_listener("bench", lambda *_: None)
    intervals: dict[str, float] = {"never": float("inf"), "every second": 1.0, "every commit": 0.0}
    for _ in range(2):
        for connections in (1, 4, 16):
            for name, interval in intervals.items():
                rate = await _commits(servers.database_url, connections, interval, seconds)
                print(f"{connections:>3} connections, notifying {name:<14} {rate:>7,.0f}/s")
    await listener.close()


async def _commits(url: str, connections: int, interval: float, seconds: float) -> float:
    open_ = [await asyncpg.connect(url) for _ in range(connections)]
    last, done = time.monotonic(), 0
    end = last + seconds

    async def commit(connection: Any) -> None:
        nonlocal last, done
        while (now := time.monotonic()) < end:
            notifies = now - last >= interval
            async with connection.transaction():
                await connection.execute("INSERT INTO noted (text) VALUES ('x')")
                if notifies:
                    await connection.execute("SELECT pg_notify('bench', '')")
            last = now if notifies else last
            done += 1

    started = time.monotonic()
    await asyncio.gather(*map(commit, open_))
    elapsed = time.monotonic() - started
    for connection in open_:
        await connection.close()
    return done / elapsed


@asynccontextmanager
async def temporary_servers() -> AsyncIterator[embedded.Servers]:
    """Run embedded servers with an empty, migrated database while the block runs.

    Returns:
        A context manager with the servers.
    """
    home = Path(tempfile.mkdtemp(prefix="ringline-bench-"))
    try:
        servers = await asyncio.to_thread(embedded.use, home)
        await migrate.upgrade_async(servers.database_url)
        yield servers
    finally:
        await asyncio.to_thread(embedded.down, home)
        shutil.rmtree(home)


async def run(part: Callable[[embedded.Servers], Any]) -> None:
    """Run one benchmark on temporary servers.

    Args:
        part: The benchmark.
    """
    async with temporary_servers() as servers:
        await part(servers)


def main() -> None:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    drain_parser = parts.add_parser("drain")
    drain_parser.add_argument("--rows", type=int, default=1_000_000)
    drain_parser.add_argument("--held", action="store_true")
    notify_parser = parts.add_parser("notify")
    notify_parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    if arguments.part == "drain":
        asyncio.run(run(lambda servers: drain(servers, arguments.rows, held=arguments.held)))
    else:
        asyncio.run(run(lambda servers: notify(servers, arguments.seconds)))


if __name__ == "__main__":
    main()
