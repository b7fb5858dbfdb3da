"""No-op jobs through one worker process, ours and arq's, in turn; `--rounds N`.

Each run has a process and a Redis database of its own; the queue is filled before the clock starts.
"""

import argparse
import asyncio
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import arq.worker
from arq.connections import ArqRedis, RedisSettings, create_pool

from jobs.embedded import binaries
from jobs.engine import JobRequest, Pool, Worker, deserialize, serialize

QUEUE: Final = "arq:queue"


async def noop(ctx: dict[str, Any]) -> None:
    return None


async def wait_10_ms(ctx: dict[str, Any]) -> None:
    await asyncio.sleep(0.01)


FUNCTIONS: Final = (noop, wait_10_ms)

Make = Callable[[ArqRedis, int, float], arq.worker.Worker]


def stock(redis: ArqRedis, max_jobs: int, keep: float) -> arq.worker.Worker:
    """arq with its own serializer, without its two log lines a job."""
    return arq.worker.Worker(
        FUNCTIONS, redis_pool=redis, burst=True, max_jobs=max_jobs, keep_result=keep, poll_delay=0
    )


def ours(redis: ArqRedis, max_jobs: int, keep: float) -> arq.worker.Worker:
    """Leases, fencing, dead letters and counters are on, JSON is the serializer."""
    return Worker(
        FUNCTIONS,
        redis_pool=redis,
        burst=True,
        max_jobs=max_jobs,
        queue_read_limit=1000,
        keep_result=keep,
        job_serializer=serialize,
        job_deserializer=deserialize,
        dead_letters=True,
        counters=True,
    )


MAKE: Final[dict[str, Make]] = {"arq": stock, "ours": ours}


async def drain(kind: str, url: str, function: str, count: int, max_jobs: int, keep: float) -> None:
    """Fill the queue, empty it with one worker, and print the figures as JSON."""
    redis = await create_pool(RedisSettings.from_dsn(url))
    await redis.flushdb()
    redis.job_serializer, redis.job_deserializer = serialize, deserialize
    producer = Pool.sharing(redis)
    if kind == "arq":
        redis.job_serializer = redis.job_deserializer = None
        producer.job_serializer = producer.job_deserializer = None
    for start in range(0, count, 1000):
        requests = [JobRequest(function, queue=QUEUE) for _ in range(min(1000, count - start))]
        await producer.enqueue_many(requests)
    worker = MAKE[kind](redis, max_jobs, keep)
    before = await redis.info("cpu")
    began, cpu = time.perf_counter(), time.process_time()
    await worker.main()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    after = await redis.info("cpu")
    assert worker.jobs_complete == count
    used = sum(after[name] - before[name] for name in ("used_cpu_sys", "used_cpu_user"))
    figures = {"per_s": count / took, "cpu_us": cpu / count * 1e6, "redis_us": used / count * 1e6}
    print(json.dumps(figures))
    await worker.close()


CASES: Final = [
    ("no-op, results kept", "noop", 3600.0, {"arq": (3000, 100), "ours": (60_000, 500)}),
    ("no-op, no results", "noop", 0.0, {"arq": (3000, 100), "ours": (60_000, 500)}),
    ("no-op, results kept, max_jobs=100", "noop", 3600.0, {"ours": (60_000, 100)}),
    (
        "10 ms of I/O, 100 at once",
        "wait_10_ms",
        3600.0,
        {"arq": (2000, 100), "ours": (20_000, 100)},
    ),
]


def compare(url: str, rounds: int) -> None:
    for title, function, keep, kinds in CASES:
        runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, (count, max_jobs) in kinds.items():
                command = [sys.executable, __file__, "--drain", kind, url, function, str(count),
                           str(max_jobs), str(keep)]  # fmt: skip
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[kind].append(json.loads(done.stdout))
        for kind, figures in runs.items():
            per_s, cpu, redis = (
                statistics.median(figure[name] for figure in figures)
                for name in ("per_s", "cpu_us", "redis_us")
            )
            print(f"{title:36} {kind:5} {per_s:8.0f}/s  {cpu:6.1f} µs CPU  {redis:5.1f} µs Redis")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drain", nargs=6, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    if given.drain:
        kind, url, function, count, max_jobs, keep = given.drain
        asyncio.run(drain(kind, url, function, int(count), int(max_jobs), float(keep)))
        return
    with tempfile.TemporaryDirectory(prefix="rl-") as folder:
        command = [binaries.redis_server(), "--port", "0", "--unixsocket", "r.sock", "--save", ""]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            while not (Path(folder) / "r.sock").exists():
                time.sleep(0.02)
            compare(f"unix://{folder}/r.sock", given.rounds)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
