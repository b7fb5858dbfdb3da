"""Workers that are killed, frozen, stopped and started, and outages of Redis."""

import asyncio
import os
import signal
from pathlib import Path
from subprocess import Popen
from time import monotonic
from typing import Any

import pytest
from arq.jobs import Job

from jobs.engine import (
    DeadLetterStore,
    JobRequest,
    Pool,
    create_pool,
    cron,
    deserialize,
    read_stats,
)
from jobs.engine.bootstrap.workers import create_worker
from jobs.engine.queue import keys
from jobs.engine.queue.claim import MAX_EXPIRED_LEASES
from jobs.errors import WorkerLost
from jobs.testing.waiting import wait_until
from tests.integration.scripted_settings import QUEUE, Chaos
from tests.integration.workers import own_redis, process, running

LEASE = 1.0


async def starts(pool: Pool) -> list[list[str]]:
    """Return job id, process id and try of each execution, in the order of the starts."""
    entries = await pool.lrange("started", 0, -1)  # type: ignore[misc]  # typed for both clients
    return [entry.decode().split() for entry in entries]


async def test_jobs_of_a_killed_worker_run_on_another_within_two_leases(
    pool: Pool, redis_url: str
) -> None:
    with process(redis_url, "Chaos") as first, process(redis_url, "Chaos") as second:
        job_id, holder, other = await _long_job(pool, 30, first, second)
        holder.kill()
        killed_at = monotonic()
        await wait_until(lambda: _has_started(pool, job_id, other.pid))
        assert monotonic() - killed_at < 2 * LEASE + 0.5
        tries = [entry[2] for entry in await starts(pool) if entry[0] == job_id]
        assert tries == ["1", "1"], "an expired lease uses no try"


async def test_late_completion_of_a_frozen_worker_is_refused(pool: Pool, redis_url: str) -> None:
    with process(redis_url, "Chaos") as first, process(redis_url, "Chaos") as second:
        job_id, holder, other = await _long_job(pool, 1, first, second)
        holder.send_signal(signal.SIGSTOP)
        await wait_until(lambda: _has_started(pool, job_id, other.pid))
        holder.send_signal(signal.SIGCONT)
        result = await Job(job_id, pool, QUEUE, deserialize).result(timeout=10, poll_delay=0.05)
        assert result == str(other.pid)
        holder.terminate()
        assert await asyncio.to_thread(holder.wait, 15) == 0
        info = await Job(job_id, pool, QUEUE, deserialize).result_info()
        assert info is not None
        assert info.result == str(other.pid)
    assert await pool.zcard(QUEUE) == 0


async def test_job_that_blocks_the_loop_keeps_its_lease(pool: Pool, redis_url: str) -> None:
    with process(redis_url, "Chaos") as first, process(redis_url, "Chaos") as second:
        await _until_all_are_busy(pool, first.pid, second.pid)
        job = await pool.enqueue_job("chaos.block", 3 * LEASE, _queue_name=QUEUE)
        assert job is not None
        assert await job.result(timeout=20, poll_delay=0.05)
        assert len([entry for entry in await starts(pool) if entry[0] == job.job_id]) == 1


async def test_job_that_blocks_the_loop_beyond_its_timeout_runs_on_another_worker(
    pool: Pool, redis_url: str
) -> None:
    with process(redis_url, "Chaos") as first, process(redis_url, "Chaos") as second:
        await _until_all_are_busy(pool, first.pid, second.pid)
        job = await pool.enqueue_job("chaos.stall", 30, _queue_name=QUEUE)
        assert job is not None
        holder = await wait_until(lambda: _holder(pool, job.job_id, (first, second)), timeout=20)
        (other,) = {first, second} - {holder}
        await wait_until(lambda: _has_started(pool, job.job_id, other.pid), timeout=20)


async def test_poison_job_takes_no_other_job_to_the_dead_letters(
    pool: Pool, redis_url: str
) -> None:
    """All of the jobs were lost together with the poison job before."""
    jobs = {f"good-{number}": "chaos.work" for number in range(5)} | {"bad": "chaos.die_at_once"}
    await pool.hset(keys.LOST, mapping=dict.fromkeys(jobs, MAX_EXPIRED_LEASES - 1))  # type: ignore[misc]  # typed for both clients
    for job_id, name in sorted(jobs.items()):  # the poison job is first
        args = () if job_id == "bad" else (0.01,)
        assert await pool.enqueue_job(name, *args, _job_id=job_id, _queue_name=QUEUE)
    with process(redis_url, "Chaos", processes=2):
        await wait_until(lambda: _is_empty(pool), timeout=30)
    assert (await read_stats(pool, QUEUE)).done == 5
    assert [dead_letter.job_id for dead_letter in await DeadLetterStore(pool).find()] == ["bad"]


async def test_poison_job_becomes_a_dead_letter(pool: Pool, redis_url: str) -> None:
    with process(redis_url, "Chaos", processes=2):
        job = await pool.enqueue_job("chaos.die", _queue_name=QUEUE)
        assert job is not None
        with pytest.raises(WorkerLost):
            await job.result(timeout=40, poll_delay=0.1)
        assert len(await starts(pool)) == 3
        other = await pool.enqueue_job("chaos.work", 0, _queue_name=QUEUE)
        assert other is not None
        assert await other.result(timeout=10, poll_delay=0.1)


async def test_sigterm_requeues_jobs_that_exceed_the_grace_period(
    pool: Pool, redis_url: str
) -> None:
    with process(redis_url, "Chaos", grace=0.2) as worker:
        job = await pool.enqueue_job("chaos.work", 30, _queue_name=QUEUE)
        await wait_until(lambda: starts(pool))
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 5) == 0
    assert job is not None
    assert (await job.status()).value == "queued"
    assert not await pool.exists(f"arq:retry:{job.job_id}", f"arq:in-progress:{job.job_id}")


async def test_second_signal_ends_the_grace_period(pool: Pool, redis_url: str) -> None:
    with process(redis_url, "Chaos", grace=30) as worker:
        await pool.enqueue_job("chaos.work", 30, _queue_name=QUEUE)
        await wait_until(lambda: starts(pool))
        worker.terminate()
        await asyncio.sleep(0.2)
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 5) == 0


async def test_killed_children_are_replaced_and_all_children_stop_together(
    pool: Pool, redis_url: str
) -> None:
    with process(redis_url, "Chaos", processes=2) as supervisor:
        pids = await wait_until(lambda: _busy(pool, 2), timeout=20)
        os.kill(min(pids), signal.SIGKILL)
        pids |= await wait_until(lambda: _busy(pool, 3), timeout=20)
        supervisor.terminate()
        assert await asyncio.to_thread(supervisor.wait, 15) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_children_of_a_killed_supervisor_stop(pool: Pool, redis_url: str) -> None:
    with process(redis_url, "Chaos", processes=2) as supervisor:
        pids = await wait_until(lambda: _busy(pool, 2), timeout=20)
        supervisor.kill()
        await wait_until(lambda: not any(_alive(pid) for pid in pids), timeout=15)


@pytest.mark.parametrize("processes", [1, 2])
async def test_worker_that_cannot_start_logs_one_line(
    redis_url: str, processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with process(redis_url, "Broken", processes=processes) as worker:
        assert await asyncio.to_thread(worker.wait, 15) == 1
    lines = capfd.readouterr().err.splitlines()
    errors = [line for line in lines if "go to a queue that this worker does not serve" not in line]
    assert errors
    assert [line for line in errors if "the voice provider does not answer" in line] == errors


async def test_worker_without_redis_logs_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with process(f"unix://{tmp_path}/nobody.sock", "Chaos") as worker:
        assert await asyncio.to_thread(worker.wait, 20) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "nobody.sock" in line


async def test_restart_of_redis_under_load_loses_no_job() -> None:
    """Workers resume by themselves, and complete no job twice."""
    async with own_redis() as server:
        with process(server.url, "Chaos", "--max-jobs", "50", "--lease", "5"):
            pool = await create_pool(server.url)
            jobs = await pool.enqueue_many([_work(0.05) for _ in range(1000)])
            await wait_until(lambda: pool.llen("ended"))
            server.kill()
            await asyncio.sleep(1)
            server.start()
            await server.ready()
            await wait_until(lambda: _is_empty(pool), timeout=30)
            ended = await pool.lrange("ended", 0, -1)  # type: ignore[misc]  # typed for both clients
            assert {job_id.decode() for job_id in ended} == {job.job_id for job in jobs if job}
            stats = await read_stats(pool, QUEUE)
            assert (stats.done, stats.dead) == (1000, 0)
            await pool.aclose()


async def test_worker_resumes_after_an_outage_during_its_start() -> None:
    fired, back = asyncio.Event(), asyncio.Event()

    async def each_second(ctx: dict[Any, Any]) -> None:
        fired.set()

    async with own_redis() as server:

        def bring_back() -> None:
            server.start()
            back.set()

        async def lose_redis(ctx: dict[Any, Any]) -> None:
            server.kill()
            asyncio.get_running_loop().call_later(0.5, bring_back)

        pool = await create_pool(server.url)
        await pool.enqueue_job("chaos.work", 0, _queue_name=QUEUE)
        worker = create_worker(
            Chaos,
            on_startup=lose_redis,
            cron_jobs=[cron(each_second, second=set(range(60)))],
            redis_pool=await create_pool(server.url),
        )
        async with running(worker):
            await back.wait()
            await server.ready()
            await wait_until(lambda: pool.llen("ended"))
            await wait_until(fired.is_set)
        await pool.aclose()


def _work(seconds: float) -> JobRequest:
    return JobRequest("chaos.work", (seconds,), queue=QUEUE)


async def _is_empty(pool: Pool) -> bool:
    return not await pool.zcard(QUEUE)


async def _busy(pool: Pool, count: int) -> set[int]:
    """Enqueue jobs; return the processes that have started jobs, once there are `count`."""
    await pool.enqueue_many([_work(0.05) for _ in range(5)])
    pids = {int(entry[1]) for entry in await starts(pool)}
    return pids if len(pids) >= count else set()


async def _until_all_are_busy(pool: Pool, *pids: int) -> None:
    await wait_until(lambda: _busy(pool, len(pids)), timeout=30)


async def _long_job(
    pool: Pool, seconds: float, *workers: Popen[bytes]
) -> tuple[str, Popen[bytes], Popen[bytes]]:
    """Return the id of a running job, the worker that runs it, and the other worker, idle now."""
    await _until_all_are_busy(pool, *(worker.pid for worker in workers))
    await wait_until(lambda: _is_empty(pool))
    job = await pool.enqueue_job("chaos.work", seconds, _queue_name=QUEUE)
    assert job is not None
    holder = await wait_until(lambda: _holder(pool, job.job_id, workers))
    assert holder is not None
    (other,) = set(workers) - {holder}
    return job.job_id, holder, other


async def _holder(
    pool: Pool, job_id: str, workers: tuple[Popen[bytes], ...]
) -> Popen[bytes] | None:
    for worker in workers:
        if await _has_started(pool, job_id, worker.pid):
            return worker
    return None


async def _has_started(pool: Pool, job_id: str, pid: int) -> bool:
    return any(entry[:2] == [job_id, str(pid)] for entry in await starts(pool))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
