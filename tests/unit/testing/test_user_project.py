"""The examples of docs/testing.md, and further tests, in a project with only the package installed.

The tests run in a pytest process in an empty folder: no conftest, no configuration of this
repository. All tests of a run share one process, as the caches of the package do.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from jobs.embedded import Servers
from tests.docs.pages import ROOT, blocks

PAGE: Final = ROOT / "docs/testing.md"
TIMEOUT: Final = 120.0

SHOP: Final = '''
"""Code under test that reads the settings of the process by itself."""

import jobs
from jobs.engine import EngineSettings, job, retry


@job("shop.bill", queue="shop_tasks")
@retry(max_retries=1, delay=0)
async def bill(ctx, order: int) -> int:
    if order < 0:
        raise ValueError(order)
    await ctx["redis"].enqueue_job("shop.remind", order, _queue_name="shop_tasks", _defer_by=3600)
    return order


@job("shop.remind", queue="shop_tasks")
async def remind(ctx, order: int) -> None: ...


class WorkerSettings(EngineSettings):
    queue_name = "shop_tasks"
    functions = [bill, remind]


async def order(number: int):
    async with await jobs.create_pool() as redis:
        return await redis.enqueue_job(bill, number, _job_id="one")
'''

TESTS: Final = """
import asyncio
import os

import pytest

import shop
from jobs.engine import OutcomeKind
from jobs.engine.bootstrap.workers import create_worker, serve
from jobs.settings import get_settings


@pytest.mark.parametrize("number", [1, 2])
async def test_settings_lead_to_the_databases_of_each_test(pool, worker, number):
    assert await shop.order(number) is not None
    (outcome,) = await worker(shop.WorkerSettings)
    assert (outcome.function, outcome.kind) == ("shop.bill", OutcomeKind.DONE)
    jobs_left = await pool.queued_jobs(queue_name="shop_tasks")
    assert [(job.function, *job.args) for job in jobs_left] == [("shop.remind", number)]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_settings_class_connects_to_the_redis_of_each_test(ringline_settings, number):
    await shop.order(number)
    worker = create_worker(shop.WorkerSettings, functions=[shop.bill], burst=True, max_burst_jobs=1)
    await serve(worker)
    assert worker.jobs_complete == 1


@pytest.mark.parametrize("number", [3, 4])
async def test_a_variable_counts_in_its_test_only(monkeypatch, redis_url, number):
    assert get_settings().task_max_retries == 3
    get_settings.cache_clear()
    monkeypatch.setenv("TASK_MAX_RETRIES", str(number))
    assert get_settings().task_max_retries == number


def test_variables_are_restored():
    assert get_settings().task_max_retries == 3
    assert "TASK_QUEUE_URLS" not in os.environ


async def test_failures_are_returned(pool, worker):
    await pool.enqueue_job(shop.bill, -1)
    await pool.enqueue_job("shop.unknown", _queue_name="shop_tasks")
    kinds = [outcome.kind for outcome in await worker(shop.WorkerSettings)]
    assert sorted(kinds) == sorted([OutcomeKind.RETRIED, OutcomeKind.DEAD, OutcomeKind.DEAD])


async def test_a_worker_runs_beside_the_test(pool, worker):
    async with worker.running(shop.WorkerSettings) as outcomes:
        job = await pool.enqueue_job(shop.bill, 5)
        assert await job.result(timeout=10) == 5
    assert [outcome.job_id for outcome in outcomes] == [job.job_id]


async def test_what_keeps_a_worker_busy_is_named(pool, worker):
    async def sleep(ctx):
        await asyncio.sleep(60)

    class Arq:
        queue_name = "arq_tasks"
        functions = [sleep]

    await pool.enqueue_job(sleep.__qualname__, _job_id="slow", _queue_name="arq_tasks")
    with pytest.raises(TimeoutError, match=r"after 0.3 s: slow in arq_tasks"):
        await worker(Arq, timeout=0.3)


async def test_a_failed_startup_is_raised(worker):
    class Broken(shop.WorkerSettings):
        @staticmethod
        async def on_startup(ctx):
            raise RuntimeError("no bank")

    with pytest.raises(RuntimeError, match="no bank"):
        await worker(Broken)


async def test_startup_and_shutdown_run_without_jobs(worker):
    seen = []

    class Hooks(shop.WorkerSettings):
        @staticmethod
        async def on_startup(ctx):
            seen.append("startup")

        @staticmethod
        async def on_shutdown(ctx):
            seen.append("shutdown")

    assert await worker(Hooks) == []
    assert seen == ["startup", "shutdown"]
"""


def run_pytest(folder: Path, servers: Servers, *options: str) -> str:
    """Run pytest in `folder`; return its output. The test must pass."""
    (configuration,) = [block.code for block in blocks(PAGE, "toml")]
    (folder / "pyproject.toml").write_text(configuration)
    names = ("PATH", "HOME", "TMPDIR", "LANG")
    variables = {name: os.environ[name] for name in names if name in os.environ}
    urls = {"REDIS_URL": servers.redis_url, "DATABASE_URL": servers.database_url}
    done = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *options],
        cwd=folder,
        env=variables | urls,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_examples_of_the_page_pass(tmp_path: Path, embedded_servers: Servers) -> None:
    """In one process, so that an example cannot rely on a fresh cache."""
    examples = blocks(PAGE, "python")
    for number, example in enumerate(examples):
        (tmp_path / f"test_example_{number}.py").write_text(example.code)
    output = run_pytest(tmp_path, embedded_servers, "-v")
    names = re.findall(r"def (test_\w+)", "".join(example.code for example in examples))
    assert len(names) > len(examples)
    assert not [name for name in names if f"::{name}" not in output]


@pytest.mark.parametrize("name", ["redis_url", "database_url", "pool", "worker", "job_context"])
def test_the_page_has_an_example_of_each_fixture(name: str) -> None:
    code = "".join(block.code for block in blocks(PAGE, "python"))
    assert f"({name}" in code or f", {name}" in code


def test_fixtures_need_no_cache_to_be_cleared(tmp_path: Path, embedded_servers: Servers) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "test_shop.py").write_text(TESTS)
    for options in ([], ["-p", "no:xdist"], ["-n", "2"]):
        assert "passed" in run_pytest(tmp_path, embedded_servers, *options)
