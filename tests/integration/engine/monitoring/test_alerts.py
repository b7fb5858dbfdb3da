"""Alerts about dead letters: at most once per fingerprint and interval, in the background."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

import arq.worker
import pytest

from jobs.engine import DeadLetterStore, EngineSettings, Outcome, OutcomeKind, Pool
from jobs.engine.bootstrap.workers import create_worker
from jobs.engine.connection.urls import Address
from jobs.engine.definition.decorator import job
from jobs.engine.monitoring import alerts as subject
from jobs.engine.monitoring.alerts import MAX_CONCURRENT, Alerts
from jobs.settings import get_settings
from jobs.testing.waiting import wait_until
from tests.integration.workers import running

if TYPE_CHECKING:
    from arq.typing import WorkerSettingsBase

QUEUE = "alert_tasks"


@job("alert.fail", queue=QUEUE)
async def fail(ctx: dict[str, Any], number: int) -> None:
    raise ValueError(f"{number}: nobody is called ann@example.com")


@job("alert.stumble", queue=QUEUE)
async def stumble(ctx: dict[str, Any]) -> None:
    raise KeyError("row")


@job("alert.work", queue=QUEUE)
async def work(ctx: dict[str, Any]) -> str:
    return "done"


class WorkerSettings(EngineSettings):
    queue_name = QUEUE
    functions = (fail, stumble, work)
    poll_delay: ClassVar[float] = 0.02


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TASK_MAX_RETRIES", "0")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


class Receiver:
    """HTTP server that records request bodies and responds with `status`, or never if 0."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.posted: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
        self.posted.append(json.loads(await reader.readexactly(int(fields[b"content-length"]))))
        if self.status:
            writer.write(b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % self.status)
        else:
            await reader.read()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def receiver(monkeypatch: pytest.MonkeyPatch, status: int = 204) -> AsyncIterator[Receiver]:
    """Serve TASK_ALERT_URL during the block."""
    server_state = Receiver(status)
    server = await asyncio.start_server(server_state.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    monkeypatch.setenv("TASK_ALERT_URL", f"http://{host}:{port}/hook")
    get_settings.cache_clear()
    async with server:
        yield server_state


def worker_of(redis_url: str, **options: Any) -> arq.worker.Worker:
    redis = Address.of(redis_url).arq_settings()
    return create_worker(WorkerSettings, redis_settings=redis, handle_signals=False, **options)


def arq_worker_of(redis_url: str) -> arq.worker.Worker:
    redis = Address.of(redis_url).arq_settings()
    settings = cast("type[WorkerSettingsBase]", WorkerSettings)
    return arq.worker.create_worker(settings, redis_settings=redis, handle_signals=False)


def dead(number: int, fingerprint: str = "same") -> Outcome:
    return Outcome(
        f"job-{number}", "alert.fail", QUEUE, OutcomeKind.DEAD, 1, 0, 0, 0, "ValueError: no",
        fingerprint=fingerprint,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")
@pytest.mark.parametrize("make_worker", [worker_of, arq_worker_of])
async def test_each_fingerprint_is_posted_once(
    pool: Pool, redis_url: str, monkeypatch: pytest.MonkeyPatch, make_worker: Any
) -> None:
    async with receiver(monkeypatch) as server, running(make_worker(redis_url)):
        for number in range(5):
            await pool.enqueue_job("alert.fail", number)
        dead_letters = DeadLetterStore(pool)
        await wait_until(lambda: _count(dead_letters, 5))
        await wait_until(lambda: server.posted)
        await pool.enqueue_job("alert.stumble", _job_id="two")
        await wait_until(lambda: len(server.posted) == 2)

    first, second = server.posted
    assert (first["job"], first["queue"], first["tries"]) == ("alert.fail", QUEUE, 1)
    assert "ann@" not in json.dumps(first)
    assert first["error"].startswith("ValueError: ")
    assert f"ringline failed show {first['job_id']}" in first["text"]
    dead_letter = await dead_letters.get("two")
    assert dead_letter is not None
    assert second["fingerprint"] == dead_letter.fingerprint != first["fingerprint"]


async def _count(dead_letters: DeadLetterStore, expected: int) -> bool:
    return await dead_letters.count() == expected


@pytest.mark.parametrize("status", [500, 302, 0])
async def test_failing_receiver_does_not_delay_jobs(
    pool: Pool, redis_url: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(subject, "TIMEOUT", 3.0)
    async with receiver(monkeypatch, status) as server, running(worker_of(redis_url)):
        await pool.enqueue_job("alert.fail", 1)
        await wait_until(lambda: len(server.posted) == 1)
        job = await pool.enqueue_job("alert.work")
        assert job is not None
        assert await job.result(timeout=5, poll_delay=0.02) == "done"
        await wait_until(lambda: _may_alert_again(pool))
        await pool.enqueue_job("alert.fail", 2)
        await wait_until(lambda: len(server.posted) == 2)
    assert await DeadLetterStore(pool).count() == 2


async def _may_alert_again(pool: Pool) -> bool:
    return not await pool.keys("ringline:alerted:*")


async def test_dead_letter_is_kept_without_a_receiver(pool: Pool, redis_url: str) -> None:
    async with running(worker_of(redis_url)):
        await pool.enqueue_job("alert.fail", 1)
        await wait_until(lambda: _count(DeadLetterStore(pool), 1))


async def test_settings_class_may_set_its_own_hook(pool: Pool, redis_url: str) -> None:
    alerted: list[str] = []

    async def send(outcome: Outcome) -> None:
        alerted.append(outcome.job_id)
        raise RuntimeError("the hook failed")

    async with running(worker_of(redis_url, on_dead_letter=send)):
        await pool.enqueue_job("alert.fail", 1, _job_id="one")
        await wait_until(lambda: alerted == ["one"])
        await pool.enqueue_job("alert.fail", 2, _job_id="two")
        await wait_until(lambda: alerted == ["one", "two"])


async def test_closing_waits_for_alerts_under_way(pool: Pool, redis_url: str) -> None:
    alerted: list[str] = []

    async def send(outcome: Outcome) -> None:
        await asyncio.sleep(0.1)
        alerted.append(outcome.job_id)

    alerts = Alerts(send, pool)
    alerts(dead(1))
    await alerts.close()
    assert alerted == ["job-1"]


async def test_alerts_are_limited_over_all_workers(pool: Pool) -> None:
    alerted: list[str] = []

    async def send(outcome: Outcome) -> None:
        alerted.append(outcome.job_id)

    for number in range(3):  # three workers
        alerts = Alerts(send, pool, every=timedelta(seconds=0.2))
        alerts(dead(number))
        await alerts.close()
    assert alerted == ["job-0"]

    await wait_until(lambda: _may_alert_again(pool))
    alerts(dead(3))
    await alerts.close()
    assert alerted == ["job-0", "job-3"]


async def test_alerts_beyond_the_maximum_are_dropped(pool: Pool) -> None:
    go, alerted = asyncio.Event(), []

    async def send(outcome: Outcome) -> None:
        alerted.append(outcome.job_id)
        await go.wait()

    alerts = Alerts(send, pool)
    for number in range(3 * MAX_CONCURRENT):
        alerts(dead(number, fingerprint=str(number)))
    go.set()
    await alerts.close()
    assert len(alerted) == MAX_CONCURRENT


async def test_other_outcomes_cause_no_alert(pool: Pool) -> None:
    alerted: list[Outcome] = []

    async def send(outcome: Outcome) -> None:
        alerted.append(outcome)

    alerts = Alerts(send, pool)
    for kind in set(OutcomeKind) - {OutcomeKind.DEAD}:
        alerts(dead(1)._replace(kind=kind))
    await alerts.close()
    assert alerted == []
