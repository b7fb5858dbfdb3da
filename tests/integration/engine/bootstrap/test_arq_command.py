"""The `arq` command on a settings class: burst, check, and one-line errors."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.engine.bootstrap.worker_settings import EngineSettings
from jobs.engine.client.pools import create_pool
from jobs.engine.definition.decorator import job
from jobs.engine.queue.dead_letter_store import DeadLetterStore
from jobs.engine.queue.names import QueueNames
from jobs.engine.queue.servers import LazyRedisSettings

ROOT = Path(__file__).parents[4]
SETTINGS = f"{__name__}.WorkerSettings"


@job("shell.greet", timeout=5)
async def greet(ctx: dict[str, Any], name: str) -> str:
    return f"hello {name}"


class WorkerSettings(EngineSettings):
    queue_name = "shell_tasks"
    functions = (greet,)


async def arq(*arguments: str, redis_url: str | None) -> tuple[int, str]:
    """Runs arq's command in a folder without settings; its exit code and what it printed."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "PYTHONPATH")
    }
    environment["PYTHONPATH"] = str(ROOT)
    if redis_url is not None:
        environment["REDIS_URL"] = redis_url
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "arq",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd=ROOT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_burst_runs_enqueued_jobs(redis_url: str) -> None:
    async with await create_pool(redis_url, queues=QueueNames(frozenset({"shell"}))) as pool:
        good = await pool.enqueue_job(greet, "Ada")
        bad = await pool.enqueue_job("shell.greet", 1, 2, 3)
        assert good is not None
        assert bad is not None
        code, output = await arq(SETTINGS, "--burst", redis_url=redis_url)
        assert code == 0, output
        assert await good.result() == "hello Ada"
        assert [letter.job_id for letter in await DeadLetterStore(pool).find()] == [bad.job_id]


async def test_queue_on_another_server_is_served(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_QUEUE_URLS", json.dumps({"shell_tasks": redis_url}))
    async with await create_pool(redis_url) as pool:
        job = await pool.enqueue_job("shell.greet", "Ann", _queue_name="shell_tasks")
        code, output = await arq(SETTINGS, "--burst", redis_url=f"unix://{tmp_path}/nobody.sock")
        assert code == 0, output
        assert job is not None
        assert await job.result(timeout=1)


async def test_check_reports_if_a_worker_is_alive(redis_url: str) -> None:
    code, output = await arq(SETTINGS, "--check", redis_url=redis_url)
    assert code == 1
    assert "no health check sentinel value found" in output
    async with await create_pool(redis_url) as pool:
        await pool.set("shell_tasks:health-check", b"alive")
    code, output = await arq(SETTINGS, "--check", redis_url=redis_url)
    assert code == 0, output


@pytest.mark.parametrize("option", ["--burst", "--check"])
async def test_missing_redis_is_reported_in_one_line(option: str) -> None:
    code, output = await arq(SETTINGS, option, redis_url=None)
    assert code == 1
    assert output == (
        "Error: no Redis: set REDIS_URL, or start a server for this folder with `ringline up`\n"
    )


async def test_refused_login_is_reported_in_one_line(redis_url: str) -> None:
    wrong = redis_url.replace("unix://", "unix://nobody:secret@")
    code, output = await arq(SETTINGS, "--burst", redis_url=wrong)
    assert code == 1
    (line,) = output.splitlines()
    assert line.startswith("Error: cannot use Redis at unix:///")
    assert "secret" not in line


async def test_invalid_setting_is_reported_in_one_line(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_TIMEOUT", "soon")
    code, output = await arq(SETTINGS, "--burst", redis_url=redis_url)
    assert code == 2
    (line,) = output.splitlines()
    assert line.startswith("Error: TASK_TIMEOUT: ")


def test_import_of_a_settings_class_connects_and_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASK_MAX_JOBS", "not a number")

    def explode(settings: object) -> str:
        raise AssertionError("asked for its URL")

    class Unused(EngineSettings):
        redis_url = explode
        functions = (greet,)

    assert isinstance(Unused.__dict__["redis_settings"], LazyRedisSettings)
    assert "explode" in repr(Unused.__dict__["redis_settings"])
