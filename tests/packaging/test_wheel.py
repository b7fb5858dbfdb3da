"""The wheel: its contents, and a project beside it that has `settings` and `tests` of its own."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from jobs.engine import create_pool
from tests.packaging.clean_environment import (
    ROOT,
    SAMPLE_TABLE,
    Environment,
    metadata_of,
)

PROJECT: Final = {
    "settings.py": 'CURRENCY = "EUR"\n',
    "tests/__init__.py": "",
    "tests/orders.py": "ORDER_ID = 7\n",
    "shop.py": """
import settings
from jobs import cron, job, retry
from jobs.engine import EngineSettings


@job("shop.bill", timeout=10)
@retry(max_retries=1)
async def bill(ctx, order_id: int) -> str:
    return f"{order_id} {settings.CURRENCY}"


@job("shop.close_day")
async def close_day(ctx) -> str:
    return settings.__file__


class WorkerSettings(EngineSettings):
    queue_name = "shop_tasks"
    functions = [bill, close_day]
    cron_jobs = [cron(close_day, hour=3)]
""",
    "producer.py": """
import asyncio

import jobs
import settings
from shop import bill, close_day
from tests.orders import ORDER_ID


async def main() -> None:
    assert settings.CURRENCY == "EUR"
    async with await jobs.create_pool() as redis:
        await redis.enqueue_job(bill, ORDER_ID)
        await redis.enqueue_job("shop.close_day")


asyncio.run(main())
""",
}
WORKERS: Final = {
    "ringline": ("ringline", "worker", "shop.WorkerSettings", "--burst"),
    "arq": ("python", "-m", "arq", "shop.WorkerSettings", "--burst"),
}
NEEDS_PYTEST: Final = ("jobs.testing.plugin", "jobs.testing.servers")


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Path:
    """A user's project, whose `.env` names the test's Redis."""
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / ".env").write_text(f'REDIS_URL={redis_url}\nTASK_DOMAINS=["shop"]\n')
    return tmp_path


def _packaged_files() -> Iterator[str]:
    for path in (ROOT / "jobs").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT).as_posix()


def test_the_wheel_holds_the_jobs_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert names == {*_packaged_files(), SAMPLE_TABLE}
    for suffix in (".lua", ".mako", ".j2", "/py.typed"):
        assert any(name.endswith(suffix) for name in names)


def test_the_metadata_is_complete(wheel: Path) -> None:
    metadata = metadata_of(wheel).metadata

    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Author"] == "Ringline maintainers"
    assert metadata["Keywords"]
    assert {line.split(",")[0] for line in metadata.get_all("Project-URL", [])} == {
        *("Homepage", "Source", "Issues", "Changelog")
    }
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    scripts = {one.name: one.value for one in metadata_of(wheel).entry_points}
    assert scripts["ringline"] == "jobs.cli:main"


def test_every_module_imports_with_the_core_dependencies(
    environment: Environment, tmp_path: Path
) -> None:
    """An import that no dependency of the core brings has to be optional in the code."""
    left_out = (*NEEDS_PYTEST, "jobs.store.postgres.migrations.env")  # run by Alembic alone
    code = f"""
import importlib, pkgutil, jobs
for found in pkgutil.walk_packages(jobs.__path__, "jobs."):
    if found.name not in {left_out}:
        importlib.import_module(found.name)
import sys
print(*{{"plotly", "jinja2", "watchfiles", "uvloop", "psutil", "pytest"}} & sys.modules.keys())
"""
    done = environment.run(tmp_path, "python", "-c", code)

    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_the_help_needs_no_extra(environment: Environment, tmp_path: Path) -> None:
    done = environment.run(tmp_path, "ringline", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "campaign" in done.stdout


def test_a_project_keeps_its_own_settings_and_tests(
    environment: Environment, project: Path
) -> None:
    code = "import jobs, settings, tests; print(jobs.__file__, settings.__file__, tests.__file__)"
    done = environment.run(project, "python", "-c", code)

    ours, *theirs = map(Path, done.stdout.split())
    assert ours.is_relative_to(environment.packages), done.stderr
    assert theirs == [project / "settings.py", project / "tests" / "__init__.py"]


@pytest.mark.parametrize("worker", WORKERS)
async def test_a_project_runs_a_producer_and_a_worker(
    environment: Environment, project: Path, redis_url: str, worker: str
) -> None:
    for command in (("python", "producer.py"), WORKERS[worker]):
        done = environment.run(project, *command)
        assert done.returncode == 0, done.stdout + done.stderr

    async with await create_pool(redis_url) as pool:
        results = {one.function: one.result for one in await pool.all_job_results()}
    assert results == {"shop.bill": "7 EUR", "shop.close_day": str(project / "settings.py")}


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("ringline up", "embedded"),
        ("ringline worker lead_tasks", "embedded"),
        ("ringline worker shop.WorkerSettings --reload", "reload"),
        ("ringline report spring", "report"),
        ("ringline demo", "report"),
    ],
)
def test_a_command_that_needs_an_extra_names_it(
    environment: Environment, project: Path, command: str, extra: str
) -> None:
    (project / ".env").unlink()
    done = environment.run(project, *command.split())

    assert done.returncode in (1, 2), done.stdout
    assert re.fullmatch(rf"ringline: [^\n]*pip install 'ringline\[{extra}\]'\n", done.stderr)
