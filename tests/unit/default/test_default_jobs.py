"""Jobs of the default queue as plain coroutines."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from jobs import errors
from jobs.context import JobContext
from jobs.default import WorkerSettings
from jobs.default.housekeeping import relay_outbox
from jobs.default.ping import ping
from jobs.default.scripted import ScriptedSettings, run_script
from jobs.engine import JobRequest
from jobs.engine.bootstrap.worker_settings import JobFunctions
from jobs.store.memory import MemoryStore
from jobs.testing.clock import FrozenClock


def on_execution(number: int) -> JobContext:
    return cast("JobContext", {"job_try": number})


def test_scripts_run_only_where_they_are_switched_on() -> None:
    """A script can kill its worker: whoever can enqueue a job must not be able to do that."""
    assert run_script not in JobFunctions(WorkerSettings.functions).functions
    assert JobFunctions(ScriptedSettings.functions).functions == [run_script]
    assert ScriptedSettings.queue_name == WorkerSettings.queue_name


def test_a_default_worker_does_not_even_import_scripts() -> None:
    code = "import sys, jobs.default; sys.exit('jobs.default.scripted' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # our own command


async def test_ping_returns_pong() -> None:
    assert await ping(on_execution(1)) == "pong"


async def test_each_execution_plays_its_step_and_the_last_repeats() -> None:
    steps = ("fail:ValidationError", "sleep:0", "ok")
    with pytest.raises(errors.ValidationError):
        await run_script(on_execution(1), *steps)
    for number in (2, 3, 4):
        assert await run_script(on_execution(number), *steps) == number
    assert await run_script(on_execution(1)) == 1


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ("fail", RuntimeError),
        ("fail:DatabaseError", errors.DatabaseError),
        ("fail:NotFoundError", errors.NotFoundError),
        ("fail:StaleVersionError", errors.StaleVersionError),
        ("fail:KeyError", KeyError),
    ],
)
async def test_fail_raises_the_named_error(step: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        await run_script(on_execution(2), step)
    assert type(caught.value) is kind


async def test_retry_after_requests_a_wait() -> None:
    with pytest.raises(errors.ExternalServiceError) as caught:
        await run_script(on_execution(1), "retry_after:2.5")
    assert caught.value.retry_after == 2.5


@pytest.mark.parametrize("step", ["dance", "fail:Nothing", "fail:print", "sleep", "sleep:long"])
async def test_invalid_step_is_rejected(step: str) -> None:
    with pytest.raises(errors.ValidationError):
        await run_script(on_execution(1), step)


async def test_die_kills_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    await run_script(on_execution(1), "die")
    assert killed == [(os.getpid(), signal.SIGKILL)]


async def test_relay_publishes_until_the_outbox_is_empty() -> None:
    clock = FrozenClock(datetime(2026, 3, 4, tzinfo=UTC))
    published: list[JobRequest] = []
    down = True

    async def publish(jobs: Sequence[JobRequest], /) -> None:
        if down:
            raise ConnectionError
        published.extend(jobs)

    store = MemoryStore(clock=clock, publish=publish)
    async with store.begin() as work:
        for _ in range(1500):
            work.enqueue("default.ping")
    down = False
    ctx = cast("JobContext", {"store": store, "clock": clock})
    assert await relay_outbox(ctx) == 0
    clock.advance(timedelta(seconds=5))
    assert await relay_outbox(ctx) == 1500
    assert len(published) == 1500
    assert await relay_outbox(ctx) == 0
