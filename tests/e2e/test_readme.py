"""The examples of the README and of the pages it links to, run as printed."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from jobs.store.postgres.migrate import upgrade
from tests.docs.pages import ROOT, blocks, name_of

README = ROOT / "README.md"
BIN = Path(sys.executable).parent
TIMEOUT = 90

PEOPLE = "name,phone,timezone\nAnn Example,+1 212 555 0101,America/New_York\nBroken,12,\n"
PAGES = [ROOT / "docs" / name for name in ("calling.md", "operations.md", "recovery.md")]
PYTEST = (
    *("-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-q"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)


def python(page: Path, heading: str) -> str:
    """Return the Python example under a heading."""
    (code,) = [one.code for one in blocks(page, "python") if one.heading == heading]
    return code


def commands(page: Path) -> list[str]:
    """Return the commands of a page, without comments."""
    lines = "\n".join(one.code for one in blocks(page, "console")).splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line]


@pytest.fixture
def folder(tmp_path: Path, redis_url: str, database_url: str) -> Path:
    """A folder with the README's files in it, and a `.env` that names the test's servers."""
    upgrade(database_url)
    (tmp_path / ".env").write_text(f"REDIS_URL={redis_url}\nDATABASE_URL={database_url}\n")
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "billing.py").write_text(python(README, "Write a job"))
    (tmp_path / "test_billing.py").write_text(python(README, "Test a job"))
    (tmp_path / "edited.py").write_text(python(README, "Enqueue a job"))
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder)}


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603  # the documentation's own commands
        command, cwd=folder, env=environment(folder), capture_output=True, text=True,
        timeout=TIMEOUT, check=False,
    )  # fmt: skip


def must(folder: Path, *command: str) -> str:
    """Run a command, which must succeed, and return its output."""
    done = run(folder, *command)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def worker(folder: Path, *queues: str) -> Iterator[None]:
    """Run a worker beside the block; it must stop by itself when told to."""
    words = [str(BIN / "ringline"), "worker", *queues, "--loglevel", "WARNING"]
    child = subprocess.Popen(words, cwd=folder, env=environment(folder))  # noqa: S603  # ours
    try:
        yield
    finally:
        child.terminate()
        status = child.wait(TIMEOUT)
    assert status == 0


@pytest.mark.parametrize("shell", ["bash -O expand_aliases -es", "sh -es"])
def test_the_tour_works_when_pasted(tmp_path: Path, shell: str) -> None:
    """Without settings, on embedded servers. The shell reads line by line, as from a terminal."""
    words = shell.split()
    if shutil.which(words[0]) is None or not (BIN / "activate").exists():
        pytest.skip(f"there is no {words[0]}, or this Python is in no environment of its own")
    (tmp_path / ".venv").symlink_to(BIN.parent)
    (tour,) = [one.code for one in blocks(README, "console") if one.heading == "Tour"]
    assert len(tour.splitlines()) == 10
    try:
        done = subprocess.run(  # noqa: S603  # the README's own commands
            words, input=tour, cwd=tmp_path, env={"PATH": os.environ["PATH"]},
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    finally:
        run(tmp_path, "ringline", "down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"pong"' in done.stdout
    assert "1 added, 0 duplicates, 1 rejected" in done.stdout
    assert (tmp_path / "out/report/report.html").exists()


def a_campaign(folder: Path) -> str:
    """Create a campaign and return its id."""
    must(folder, "ringline", "lead", "import", "people.csv", "--source", "spring")
    made = must(folder, "ringline", "campaign", "create", "spring", "--source", "spring")
    return made.split()[0]


def waiting(folder: Path) -> dict[str, int]:
    """Return the number of waiting jobs by queue."""
    queues = json.loads(must(folder, "ringline", "status", "--json"))["queues"]
    return {one["queue"]: one["waiting"] for one in queues}


def test_the_new_job_runs_under_both_commands(folder: Path) -> None:
    campaign_id = a_campaign(folder)
    code = (
        "import asyncio, sys, uuid, jobs, billing\n"
        "async def main():\n"
        "    async with await jobs.create_pool() as redis:\n"
        "        id_ = uuid.UUID(sys.argv[1])\n"
        "        await redis.enqueue_job(billing.invoice_campaign, id_)\n"
        "asyncio.run(main())\n"
    )
    for command in (["ringline", "worker"], ["arq"]):
        must(folder, sys.executable, "-c", code, campaign_id)
        must(folder, *command, "billing.WorkerSettings", "--burst")
    assert waiting(folder)["analytics_tasks"] == 2


@pytest.mark.parametrize("queues", ["billing_tasks", "all", "default,billing.WorkerSettings"])
def test_the_new_job_runs_by_its_name(folder: Path, queues: str) -> None:
    """The commands of the README, with the variable in `.env`."""
    example = [one.code for one in blocks(README, "console") if one.heading == "Write a job"]
    export, _, enqueue = "".join(example).splitlines()
    with (folder / ".env").open("a") as file:
        file.write(export.removeprefix("export ") + "\n")
    words = enqueue.partition(" #")[0].replace("CAMPAIGN_ID", a_campaign(folder)).split()
    assert waiting(folder)["billing_tasks"] == 0
    must(folder, *words[:-1])
    assert waiting(folder)["billing_tasks"] == 1
    with worker(folder, queues):
        assert must(folder, *words).splitlines()[1] == "0"


def test_a_worker_warns_of_jobs_that_go_to_another_queue(folder: Path) -> None:
    for command in (["ringline", "worker"], ["arq"]):
        done = run(folder, *command, "billing.WorkerSettings", "--burst")
        (warning,) = [line for line in done.stderr.splitlines() if "does not serve" in line]
        assert "jobs=billing.invoice queue=default" in warning
        assert "TASK_WORKERS" in warning
    with (folder / ".env").open("a") as file:
        file.write("TASK_WORKERS=billing.WorkerSettings\n")
    for command in (["ringline", "worker"], ["arq"]):
        done = run(folder, *command, "billing.WorkerSettings", "--burst")
        assert "does not serve" not in done.stderr


def test_a_bad_path_of_a_settings_class_ends_in_one_line(folder: Path) -> None:
    (folder / ".env").write_text("TASK_WORKERS=biling.WorkerSettings\n")
    done = run(folder, "ringline", "status")
    assert done.returncode == 2
    assert done.stderr == (
        "ringline: TASK_WORKERS: biling.WorkerSettings cannot be imported: "
        "No module named 'biling'\n"
    )


def test_the_new_jobs_test_passes(folder: Path) -> None:
    output = must(folder, sys.executable, "-m", "pytest", *PYTEST, "test_billing.py")
    assert "1 passed" in output


def test_a_service_enqueues_as_shown(folder: Path) -> None:
    code = "import asyncio, uuid, edited; asyncio.run(edited.lead_was_edited(uuid.uuid4()))"
    must(folder, sys.executable, "-c", code)
    assert '"length": 3' in must(folder, "ringline", "status", "--json")


def test_a_domain_runs_under_arqs_command(folder: Path) -> None:
    must(folder, "arq", "jobs.lead.WorkerSettings", "--burst")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_work(folder: Path, database_url: str, page: Path) -> None:
    """With a campaign that no worker moves on, so that it can be paused. ID is a dead letter's or a
    lead's."""
    for line in (
        "ringline lead import people.csv --source spring",
        "ringline campaign create spring --source spring",
        "ringline campaign start spring",
    ):
        must(folder, *shlex.split(line))
    lead_id = asyncio.run(a_lead(database_url))
    with worker(folder, "default,lead_tasks"):
        for line in commands(page):
            if line.startswith("ringline chaos"):
                continue  # tests/chaos runs it
            words = shlex.split(line)
            if "ID" in words:
                words[words.index("ID")] = lead_id if "enqueue" in words else dead_letter(folder)
            must(folder, *words)
    if page.name == "calling.md":
        assert "12" in (folder / "rejected.csv").read_text()


async def a_lead(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval("SELECT id FROM leads"))
    finally:
        await connection.close()


def dead_letter(folder: Path) -> str:
    """Make a job fail permanently, and return its id."""
    words = ("ringline", "enqueue", "lead.update", str(uuid.uuid4()), "{}", "--wait")
    return run(folder, *words).stdout.split()[0]


def test_a_job_moved_from_celery_runs(folder: Path) -> None:
    page = ROOT / "docs/migrating-from-celery.md"
    (folder / "notes.py").write_text(python(page, "One task, before and after"))
    code = (
        "import asyncio, uuid, jobs, notes\n"
        "async def main():\n"
        "    async with await jobs.create_pool() as redis:\n"
        "        job = await redis.enqueue_job(\n"
        "            'notes.add', uuid.uuid4(), 'text', _queue_name='notes_tasks'\n"
        "        )\n"
        "        await job.result(timeout=30)\n"
        "asyncio.run(main())\n"
    )
    (command,) = commands(page)
    with worker(folder, *shlex.split(command)[2:]):
        must(folder, sys.executable, "-c", code)


def test_the_settings_are_read_as_shown(folder: Path) -> None:
    (example,) = blocks(ROOT / "docs/settings.md", "python")
    assert must(folder, sys.executable, "-c", example.code).strip() == "3"


def test_the_wait_for_replicas_works(folder: Path) -> None:
    (example,) = blocks(ROOT / "docs/redis.md", "python")
    body = re.sub("^", "        ", example.code, flags=re.MULTILINE)
    code = (
        "import asyncio, uuid, jobs\n"
        "async def main():\n"
        "    lead_id, job_id = uuid.uuid4(), 'one'\n"
        "    async with await jobs.create_pool() as pool:\n"
        f"{body}\n"
        "        print(replicas)\n"
        "asyncio.run(main())\n"
    )
    assert must(folder, sys.executable, "-c", code).strip() == "0"  # there are none
