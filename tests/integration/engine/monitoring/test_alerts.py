"""Dead letters are told of beside the jobs: once for each kind of failure, and to no job's harm."""

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
    """A server that keeps what is posted to it, and answers with `status`; 0: not at all."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.posted: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:] if line)
        self.posted.append(json.loads(await reader.readexactly(int(fields[b"content-length"]))))
        if self.status:
            writer.write(b"HTTP/1.1 %d Told\r\nContent-Length: 0\r\n\r\n" % self.status)
        else:
            await reader.read()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def receiver(monkeypatch: pytest.MonkeyPatch, status: int = 204) -> AsyncIterator[Receiver]:
    """What TASK_ALERT_URL names, for as long as the block runs."""
    made = Receiver(status)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    monkeypatch.setenv("TASK_ALERT_URL", f"http://{host}:{port}/hook")
    get_settings.cache_clear()
    async with server:
        yield made


def worker_of(redis_url: str, **options: Any) -> arq.worker.Worker:
    redis = Address.of(redis_url).arq_settings()
    return create_worker(WorkerSettings, redis_settings=redis, handle_signals=False, **options)


def stock_worker_of(redis_url: str) -> arq.worker.Worker:
    redis = Address.of(redis_url).arq_settings()
    settings = cast("type[WorkerSettingsBase]", WorkerSettings)
    return arq.worker.create_worker(settings, redis_settings=redis, handle_signals=False)


def dead(number: int, fingerprint: str = "same") -> Outcome:
    return Outcome(
        f"job-{number}", "alert.fail", QUEUE, OutcomeKind.DEAD, 1, 0, 0, 0, "ValueError: no",
        fingerprint=fingerprint,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")
@pytest.mark.parametrize("made", [worker_of, stock_worker_of])
async def test_each_kind_of_failure_is_posted_once(
    pool: Pool, redis_url: str, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    async with receiver(monkeypatch) as server, running(made(redis_url)):
        for number in range(5):
            await pool.enqueue_job("alert.fail", number)
        letters = DeadLetterStore(pool)
        await wait_until(lambda: _count(letters, 5))
        await wait_until(lambda: server.posted)
        await pool.enqueue_job("alert.stumble", _job_id="two")
        await wait_until(lambda: len(server.posted) == 2)

    first, second = server.posted
    assert (first["job"], first["queue"], first["tries"]) == ("alert.fail", QUEUE, 1)
    assert "ann@" not in json.dumps(first)
    assert first["error"].startswith("ValueError: ")
    assert f"ringline failed show {first['job_id']}" in first["text"]
    letter = await letters.get("two")
    assert letter is not None
    assert second["fingerprint"] == letter.fingerprint != first["fingerprint"]


async def _count(letters: DeadLetterStore, wanted: int) -> bool:
    return await letters.count() == wanted


@pytest.mark.parametrize("status", [500, 302, 0])
async def test_a_receiver_that_fails_holds_nobody_up(
    pool: Pool, redis_url: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(subject, "TIMEOUT", 3.0)
    async with receiver(monkeypatch, status) as server, running(worker_of(redis_url)):
        await pool.enqueue_job("alert.fail", 1)
        await wait_until(lambda: len(server.posted) == 1)
        job = await pool.enqueue_job("alert.work")
        assert job is not None
        assert await job.result(timeout=5, poll_delay=0.02) == "done"
        await wait_until(lambda: _is_free_again(pool))
        await pool.enqueue_job("alert.fail", 2)
        await wait_until(lambda: len(server.posted) == 2)
    assert await DeadLetterStore(pool).count() == 2


async def _is_free_again(pool: Pool) -> bool:
    return not await pool.keys("ringline:alerted:*")


async def test_without_a_receiver_nobody_is_told(pool: Pool, redis_url: str) -> None:
    async with running(worker_of(redis_url)):
        await pool.enqueue_job("alert.fail", 1)
        await wait_until(lambda: _count(DeadLetterStore(pool), 1))


async def test_a_settings_class_has_a_hook_of_its_own(pool: Pool, redis_url: str) -> None:
    told: list[str] = []

    async def tell(outcome: Outcome) -> None:
        told.append(outcome.job_id)
        raise RuntimeError("and then it breaks")

    async with running(worker_of(redis_url, on_dead_letter=tell)):
        await pool.enqueue_job("alert.fail", 1, _job_id="one")
        await wait_until(lambda: told == ["one"])
        await pool.enqueue_job("alert.fail", 2, _job_id="two")
        await wait_until(lambda: told == ["one", "two"])


async def test_workers_that_close_let_their_alerts_out(pool: Pool, redis_url: str) -> None:
    told: list[str] = []

    async def tell(outcome: Outcome) -> None:
        await asyncio.sleep(0.1)
        told.append(outcome.job_id)

    alerts = Alerts(tell, pool)
    alerts(dead(1))
    await alerts.close()
    assert told == ["job-1"]


async def test_all_workers_together_tell_once_in_a_while(pool: Pool) -> None:
    told: list[str] = []

    async def tell(outcome: Outcome) -> None:
        told.append(outcome.job_id)

    for number in range(3):  # three workers
        alerts = Alerts(tell, pool, every=timedelta(seconds=0.2))
        alerts(dead(number))
        await alerts.close()
    assert told == ["job-0"]

    await wait_until(lambda: _is_free_again(pool))
    alerts(dead(3))
    await alerts.close()
    assert told == ["job-0", "job-3"]


async def test_a_flood_of_failures_is_cut(pool: Pool) -> None:
    go, told = asyncio.Event(), []

    async def tell(outcome: Outcome) -> None:
        told.append(outcome.job_id)
        await go.wait()

    alerts = Alerts(tell, pool)
    for number in range(3 * MAX_CONCURRENT):
        alerts(dead(number, fingerprint=str(number)))
    go.set()
    await alerts.close()
    assert len(told) == MAX_CONCURRENT


async def test_only_dead_letters_are_told_of(pool: Pool) -> None:
    told: list[Outcome] = []

    async def tell(outcome: Outcome) -> None:
        told.append(outcome)

    alerts = Alerts(tell, pool)
    for ending in set(OutcomeKind) - {OutcomeKind.DEAD}:
        alerts(dead(1)._replace(kind=ending))
    await alerts.close()
    assert told == []
